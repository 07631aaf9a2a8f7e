//! Strangers write manifests. Whatever stands in a string of one, a proxy can use the configuration that comes of it, and what was put
//! into a wrong field by mistake, such as a token, is not told to everybody who may read a status or a log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use policy::Table;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::DeserializeOwned;
use serde_json::Value;
use translate::{Route, RouteKind, Settings, Snapshot, Timestamp, Translation, translate};

static DOCUMENTS: LazyLock<Vec<Value>> = LazyLock::new(|| serde_saphyr::from_multiple(include_str!("hostile.yaml")).unwrap());

/// Every string of the documents that a text is put into: which document, and the way to it.
static LEAVES: LazyLock<Vec<(usize, String)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (nth, document) in DOCUMENTS.iter().enumerate().filter(|(_, document)| is_ours(document)) {
        let mut pointers = Vec::new();
        leaves(document, "", &mut pointers);
        all.extend(pointers.into_iter().filter(|pointer| pointer != "/kind" && pointer != "/apiVersion").map(|pointer| (nth, pointer)));
    }
    all
});

fn is_ours(document: &Value) -> bool {
    matches!(document["kind"].as_str(), Some("Gateway" | "ListenerSet" | "HTTPRoute" | "GRPCRoute" | "Upstream"))
}

fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(pointer.to_owned()),
        Value::Array(items) => items.iter().enumerate().for_each(|(nth, item)| leaves(item, &format!("{pointer}/{nth}"), found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                leaves(field, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `None`: a type of the API has no room for one of the texts, so the object never gets here.
fn translated(documents: Vec<Value>) -> Option<Translation> {
    let mut snapshot = Snapshot::default();
    for document in documents {
        add(&mut snapshot, document)?;
    }
    let settings = Settings { implied_class: Some("keyward".to_owned()), ..Settings::default() };
    Some(translate(&snapshot, &settings, Timestamp::UNIX_EPOCH))
}

fn add(snapshot: &mut Snapshot, document: Value) -> Option<()> {
    match document["kind"].as_str().unwrap() {
        "Gateway" => snapshot.gateways.push(read(document)?),
        "ListenerSet" => snapshot.listener_sets.push(read(document)?),
        "HTTPRoute" => snapshot.routes.push(Arc::new(Route::read(RouteKind::Http, document).unwrap())),
        "GRPCRoute" => snapshot.routes.push(Arc::new(Route::read(RouteKind::Grpc, document).unwrap())),
        "Upstream" => snapshot.upstreams.push(read(document)?),
        "Secret" => snapshot.secrets.push(read(document)?),
        "Service" => snapshot.services.push(read(document)?),
        other => panic!("kind {other:?} is not part of these documents"),
    }
    Some(())
}

fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn with(documents: &[Value], (nth, pointer): &(usize, String), text: &str) -> Vec<Value> {
    let mut changed = documents.to_vec();
    *changed[*nth].pointer_mut(pointer).unwrap() = Value::String(text.to_owned());
    changed
}

#[test]
fn the_documents_have_no_mistake_but_the_one_that_is_meant() {
    let problems = translated(DOCUMENTS.clone()).unwrap().problems;
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    let meant = [
        "spec.addresses",
        // Documents have no stringData, and a key in base64 is not worth its lines.
        "spec.tls.backend.clientCertificateRef",
        "spec.listeners[1].tls.certificateRefs[0]",
        "spec.rules[0].sessionPersistence",
        "spec.rules[2].filters[0].type",
        "metadata.annotations[keyward.dev/plaintext]",
        "spec",
        "spec.ai.vertexAi.jsonSchema",
    ];
    assert!(fields.iter().all(|field| meant.contains(field)), "{problems:#?}");
}

/// A token, as it stands in a paste that went wrong.
const CANARIES: [&str; 3] = ["sk-canary", "Authorization: Bearer sk-canary", "https://u:sk-canary@h/x"];

/// Where any text is what the user asks for: it is configured as it stands, and a dump of the configuration shows it.
const TEXTS: [&str; 17] = [
    "HTTPRoute/spec/rules/0/matches/0/headers/0/value",
    "HTTPRoute/spec/rules/0/matches/0/queryParams/0/name",
    "HTTPRoute/spec/rules/0/matches/0/queryParams/0/value",
    "HTTPRoute/spec/rules/0/matches/0/queryParams/1/name",
    "HTTPRoute/spec/rules/0/matches/1/path/value",
    "HTTPRoute/spec/rules/0/matches/1/headers/0/value",
    "HTTPRoute/spec/rules/0/matches/1/queryParams/0/name",
    "HTTPRoute/spec/rules/0/matches/1/queryParams/0/value",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/set/0/value",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/add/0/value",
    "HTTPRoute/spec/rules/0/backendRefs/0/filters/0/requestHeaderModifier/set/0/value",
    "GRPCRoute/spec/rules/0/matches/0/headers/0/value",
    "GRPCRoute/spec/rules/0/matches/1/method/service",
    "GRPCRoute/spec/rules/0/matches/1/method/method",
    "GRPCRoute/spec/rules/0/filters/0/responseHeaderModifier/add/0/value",
    "Upstream/spec/ai/openai/model",
    "Upstream/spec/ai/anthropic/model",
];

/// Where a bare token cannot be told from a name, such as a host's or a header's; with more around it, it can.
const NAMES: [&str; 32] = [
    "Gateway/spec/listeners/0/hostname",
    "ListenerSet/spec/listeners/0/hostname",
    "HTTPRoute/spec/hostnames/0",
    "HTTPRoute/spec/hostnames/1",
    "HTTPRoute/spec/rules/0/matches/0/method",
    "HTTPRoute/spec/rules/0/matches/0/headers/0/name",
    "HTTPRoute/spec/rules/0/matches/0/headers/1/name",
    "HTTPRoute/spec/rules/0/matches/1/headers/0/name",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/set/0/name",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/set/1/name",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/add/0/name",
    "HTTPRoute/spec/rules/0/filters/0/requestHeaderModifier/remove/0",
    "HTTPRoute/spec/rules/0/filters/1/responseHeaderModifier/set/0/name",
    "HTTPRoute/spec/rules/0/filters/2/urlRewrite/hostname",
    "HTTPRoute/spec/rules/0/filters/4/cors/allowMethods/0",
    "HTTPRoute/spec/rules/0/filters/4/cors/allowHeaders/0",
    "HTTPRoute/spec/rules/0/filters/4/cors/exposeHeaders/0",
    "HTTPRoute/spec/rules/0/backendRefs/0/filters/0/requestHeaderModifier/set/0/name",
    "HTTPRoute/spec/rules/1/filters/0/requestRedirect/hostname",
    "GRPCRoute/spec/hostnames/0",
    "GRPCRoute/spec/rules/0/matches/0/headers/0/name",
    "GRPCRoute/spec/rules/0/filters/0/responseHeaderModifier/add/0/name",
    "Upstream/spec/ai/openai/customHost/host",
    "Upstream/spec/ai/openai/customHost/hostname",
    "Upstream/spec/ai/anthropic/version",
    "Upstream/spec/ai/azureOpenai/endpoint",
    "Upstream/spec/ai/azureOpenai/deploymentName",
    "Upstream/spec/ai/azureOpenai/apiVersion",
    "Upstream/spec/ai/gemini/model",
    "Upstream/spec/ai/gemini/apiVersion",
    "Upstream/spec/ai/vertexAi/model",
    "Upstream/spec/ai/vertexAi/apiVersion",
];

/// More names of the same kind.
const VERTEX_NAMES: [&str; 4] = [
    "Upstream/spec/ai/vertexAi/projectId",
    "Upstream/spec/ai/vertexAi/location",
    "Upstream/spec/ai/vertexAi/modelPath",
    "Upstream/spec/ai/vertexAi/publisher",
];

fn place((nth, pointer): &(usize, String)) -> String {
    format!("{}{pointer}", DOCUMENTS[*nth]["kind"].as_str().unwrap())
}

/// Whether a text is, or refers to, an object's or a listener's identity, which statuses must name.
fn is_identity(pointer: &str) -> bool {
    let names: Vec<&str> = pointer.split('/').filter(|part| part.parse::<usize>().is_err()).collect();
    match names.as_slice() {
        [.., "gatewayClassName"] => true,
        [.., holder, "group" | "kind" | "namespace" | "name" | "sectionName"] => {
            let holders = [
                "metadata",
                "listeners",
                "kinds",
                "parentRef",
                "parentRefs",
                "backendRefs",
                "backendRef",
                "certificateRefs",
                "clientCertificateRef",
                "secretRef",
            ];
            holders.contains(holder)
        }
        _ => false,
    }
}

#[test]
fn shows_no_token_that_was_put_into_a_wrong_field() {
    let mut wrong = Vec::new();
    for leaf in LEAVES.iter().filter(|(_, pointer)| !is_identity(pointer)) {
        for canary in CANARIES {
            let Some(translation) = translated(with(&DOCUMENTS, leaf, canary)) else { continue };
            let place = place(leaf);
            let Translation { configs, statuses, problems, infra: _ } = &translation;
            let said = format!("{statuses:?}{problems:?}{}{}", json(statuses), json(problems));
            let configured = format!("{configs:?}{}", json(configs));
            let may_be_configured = TEXTS.contains(&place.as_str())
                || (canary == "sk-canary" && (NAMES.contains(&place.as_str()) || VERTEX_NAMES.contains(&place.as_str())));
            if said.contains("canary") {
                wrong.push(format!("{place}: {canary:?} is in a status or problem"));
            }
            if configured.contains("canary") && !may_be_configured {
                wrong.push(format!("{place}: {canary:?} is in the configuration"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn lists_no_place_that_the_documents_do_not_have() {
    let places: Vec<String> = LEAVES.iter().map(place).collect();
    for listed in TEXTS.iter().chain(&NAMES).chain(&VERTEX_NAMES) {
        assert!(places.iter().any(|place| place == listed), "{listed}");
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let known = [
        "",
        "/",
        "*",
        "Exact",
        "PathPrefix",
        "RegularExpression",
        "ReplacePrefixMatch",
        "RequestRedirect",
        "URLRewrite",
        "a)|(?:b",
        "(a{1000}){1000}",
        "/a/../b",
        "/a<b",
        "host",
        "transfer-encoding",
        "kubernetes.io/wss",
        "HTTP",
        "HTTPS",
        "TLS",
        "gloo.solo.io",
        "Upstream",
        "default",
        "a",
        "*.example.com",
        "0s",
        "99999h",
    ];
    prop_oneof![
        3 => "\\PC{0,12}",
        3 => "/[a-c<>`\"{}|\\\\^%#?*()\\[. ]{0,8}",
        1 => "[\\x00-\\x1f\\x7f]{1,3}",
        3 => select(known.map(str::to_owned).to_vec()),
    ]
}

proptest! {
    #[test]
    fn a_proxy_takes_what_comes_of_any_text(changes in proptest::collection::vec((any::<Index>(), hostile()), 1..6)) {
        let change = |documents: Vec<Value>, (index, text): &(Index, String)| with(&documents, index.get(LEAVES.as_slice()), text);
        let documents = changes.iter().fold(DOCUMENTS.clone(), change);
        let Some(translation) = translated(documents) else { return Ok(()) };
        for (gateway, config) in &translation.configs {
            let table = Table::compile(config).map_err(|error| TestCaseError::fail(format!("{gateway}: {error}")))?;
            prop_assert!(table.problems().is_empty(), "{gateway}: {:?}", table.problems());
        }
    }
}

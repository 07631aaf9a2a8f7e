//! The finder against the one table of cases, and against what no table holds: odd shapes, great numbers, tokens in every place.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::Context;
use crds::credentials::remedy::{self, Holds, Remedy};
use crds::credentials::{Level, Reason, Violation, inline_credentials, ratchet};
use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    level: String,
    object: Value,
    old: Option<Value>,
    allowed: bool,
    fields: Vec<String>,
    /// For the ValidatingAdmissionPolicy's test.
    #[serde(rename = "policy")]
    _policy: Option<bool>,
}

fn cases() -> anyhow::Result<Vec<Case>> {
    serde_saphyr::from_str(include_str!("credentials.yaml")).context("the table of cases")
}

fn fields(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|violation| violation.field.to_string()).collect()
}

fn upstream(ai: Value) -> Value {
    misplaced(json!({ "ai": ai }))
}

/// Without `ai`.
fn misplaced(spec: Value) -> Value {
    json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "u", "namespace": "team" }, "spec": spec })
}

/// An Upstream with a pool of so many tokens, each another one.
fn pool(tokens: Range<usize>) -> Value {
    let pool: Vec<Value> = tokens.map(|nth| json!({ "openai": { "authToken": { "inline": format!("canary-{nth}") } } })).collect();
    upstream(json!({ "multi": { "priorities": [{ "pool": pool }] } }))
}

#[test]
fn finds_what_the_table_says() -> anyhow::Result<()> {
    let (mut names, mut failed) = (BTreeSet::new(), Vec::new());
    for case in cases()? {
        anyhow::ensure!(names.insert(case.name.clone()), "two cases are called {}", case.name);
        let level: Level = case.level.parse()?;
        let mut found = inline_credentials(&case.object);
        found.retain(|violation| violation.reason.level() <= level);
        let seen = fields(&found);
        let compared = ratchet::compare(&case.object, case.old.as_ref());
        let allowed = compared.introduced.iter().all(|violation| violation.reason.level() > level);
        if (allowed, &seen) != (case.allowed, &case.fields) {
            failed.push(format!("{}: allowed {allowed}, {seen:?}", case.name));
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[test]
fn every_source_of_every_provider_alone_and_in_a_pool_is_found() {
    for provider in ["openai", "mistral", "anthropic", "azureOpenai", "gemini", "vertexAi", "bedrock", "of-tomorrow"] {
        let alone = json!({ provider: { "authToken": { "inline": "canary" } } });
        let pooled = json!({ "multi": { "priorities": [{ "pool": [&alone] }] } });
        for ai in [alone, pooled] {
            let found = inline_credentials(&upstream(ai.clone()));
            assert!(matches!(&found[..], [one] if one.reason == Reason::InlineToken), "{provider}: {found:?}");
            assert!(!format!("{found:?}").contains("tomorrow"), "a name that we do not know is repeated");
            // Whatever else is directly under `spec` may be Gloo's.
            let found = inline_credentials(&misplaced(ai.clone()));
            let judged = provider != "of-tomorrow" || ai.get("multi").is_some();
            assert_eq!(found.len(), usize::from(judged), "{provider} without ai: {found:?}");
        }
    }
}

#[test]
fn a_token_that_gets_into_ai_is_introduced() {
    let openai = json!({ "openai": { "authToken": { "inline": "canary" } } });
    let compared = ratchet::compare(&upstream(openai.clone()), Some(&misplaced(openai)));
    assert_eq!(fields(&compared.introduced), ["spec.ai.openai.authToken.inline"], "from now on it is used");
}

#[test]
fn takes_shapes_that_no_schema_would_pass() {
    let odd = [
        (json!({ "openai": { "authToken": "sk-canary" } }), 1),
        (json!({ "openai": { "authToken": { "inline": 4242 } } }), 1),
        (json!({ "openai": { "authToken": { "inline": ["sk", "canary"] } } }), 1),
        (json!({ "openai": { "authToken": { "inline": { "a": "canary" } } } }), 1),
        (json!({ "openai": { "authToken": null } }), 0),
        (json!({ "openai": [], "multi": [] }), 0),
        (json!({ "multi": { "priorities": { "pool": [] } } }), 0),
        (json!("sk-canary"), 0),
        (json!({ "bedrock": { "credentialProvider": { "inline": {} } } }), 1),
        (json!({ "bedrock": { "credentialProvider": { "inline": { "accessKeyId": { "inline": "canary" } } } } }), 1),
    ];
    for (ai, expected) in odd {
        assert_eq!(inline_credentials(&upstream(ai.clone())).len(), expected, "{ai}");
    }
    for object in [Value::Null, json!([]), json!({}), json!({ "kind": 1, "apiVersion": "v1" }), upstream(Value::Null)] {
        assert_eq!(inline_credentials(&object), []);
    }
}

#[test]
fn counts_thousands_of_pools_and_stops_at_a_bound() {
    let many = pool(0..5_000);
    assert_eq!(inline_credentials(&many).len(), 5_000);
    assert_eq!(ratchet::compare(&many, Some(&many)).introduced, []);
    let found = inline_credentials(&pool(0..20_000));
    assert!(found.len() <= 10_001 && found.iter().any(|one| one.reason == Reason::TooMany), "{}", found.len());
}

#[test]
fn what_is_not_listed_is_compared_all_the_same() {
    let old = pool(0..10_500);
    for (what, left) in
        [("the same", 0..10_500), ("without the last", 0..10_499), ("without the first", 1..10_500), ("few", 10_400..10_500)]
    {
        assert_eq!(ratchet::compare(&pool(left), Some(&old)).introduced, [], "{what}");
    }
    for (what, changed) in [("one more", 0..10_501), ("another instead", 1..10_501), ("another among few", 10_499..10_501)] {
        assert_eq!(ratchet::compare(&pool(changed), Some(&old)).introduced.len(), 1, "{what}");
    }
    let mut twice = pool(0..10_499);
    let first = twice["spec"]["ai"]["multi"]["priorities"][0]["pool"][0].clone();
    twice["spec"]["ai"]["multi"]["priorities"].as_array_mut().unwrap().push(json!({ "pool": [first] }));
    assert_eq!(ratchet::compare(&twice, Some(&old)).introduced.len(), 1, "a second copy in place of another token");
    let introduced = ratchet::compare(&old, None).introduced;
    assert!(introduced.len() == 10_001 && introduced.iter().any(|one| one.reason == Reason::TooMany), "{}", introduced.len());
}

#[test]
fn the_copy_counts_only_for_credentials_and_only_once() {
    let copy = |ai: Value| {
        let mut object = upstream(json!({ "openai": { "authToken": { "secretRef": { "name": "s" } } } }));
        let text = upstream(ai).to_string();
        object["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": text });
        object
    };
    assert_eq!(inline_credentials(&copy(json!({ "openai": { "authToken": { "inline": "$TOKEN" } } }))), []);
    let with_token = copy(json!({ "openai": { "authToken": { "inline": "canary" } } }));
    assert!(matches!(&inline_credentials(&with_token)[..], [one] if one.copy));
    let mut nested = upstream(json!({}));
    nested["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": with_token.to_string() });
    assert_eq!(inline_credentials(&nested), []);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    nested["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": deep });
    assert!(matches!(&inline_credentials(&nested)[..], [one] if one.reason == Reason::UnreadableCopy));
}

#[test]
fn remedies_name_a_secret_for_each_place_and_one_patch_has_them_all() {
    let keys = json!({ "accessKeyId": "canary", "secretAccessKey": "canary" });
    let pool = json!([{}, { "azureOpenai": { "authToken": { "inline": "canary" } } }, { "bedrock": { "credentialProvider": { "inline": keys } } }]);
    let pooled = upstream(json!({ "multi": { "priorities": [{ "pool": pool }] } }));
    let remedies = Remedy::all(&inline_credentials(&pooled), "u");
    let named: Vec<(&str, Holds)> = remedies.iter().map(|remedy| (remedy.secret.as_str(), remedy.holds)).collect();
    assert_eq!(named, [("u-azureopenai-0-1", Holds::Token), ("u-bedrock-0-2", Holds::AwsKeys)]);
    let patch = json!([
        {
            "op": "add",
            "path": "/spec/ai/multi/priorities/0/pool/1/azureOpenai/authToken",
            "value": { "secretRef": { "name": "u-azureopenai-0-1" } }
        },
        {
            "op": "add",
            "path": "/spec/ai/multi/priorities/0/pool/2/bedrock/credentialProvider",
            "value": { "secretRef": { "name": "u-bedrock-0-2" } }
        }
    ]);
    assert_eq!(remedy::patch(&remedies, &pooled), patch);
}

#[test]
fn what_is_moved_to_secrets_violates_nothing_and_is_not_lost() -> anyhow::Result<()> {
    let ai = json!({
        "openai": { "authToken": { "inline": "canary-1" }, "model": "gpt-4o" },
        "bedrock": { "credentialProvider": { "inline": { "accessKeyId": "canary-2", "secretAccessKey": "canary-3" } } }
    });
    let moved = remedy::moved(&upstream(ai)).context("nothing moved")?;
    assert_eq!(inline_credentials(&moved.upstream), []);
    assert_eq!(moved.upstream["spec"]["ai"]["openai"]["model"], "gpt-4o");
    let secrets = serde_json::to_string(&moved.secrets)?;
    for token in ["canary-1", "canary-2", "canary-3"] {
        assert_eq!(secrets.matches(token).count(), 1, "{token}");
    }
    assert_eq!(moved.secrets[0]["stringData"]["AWS_ACCESS_KEY_ID"], "canary-2");
    let mut twice = upstream(json!({ "openai": { "authToken": { "inline": "canary-1" } } }));
    twice["spec"]["openai"] = json!({ "authToken": { "inline": "canary-2" } });
    let moved = remedy::moved(&twice).context("nothing moved")?;
    let names: Vec<&Value> = moved.secrets.iter().map(|secret| &secret["metadata"]["name"]).collect();
    assert_eq!(names, ["u-openai", "u-spec-openai"]);
    assert!(remedy::moved(&upstream(json!({ "openai": { "authToken": { "inline": "$TOKEN" } } }))).is_none());
    Ok(())
}

const WORDS: &[&str] = &[
    "spec",
    "ai",
    "multi",
    "priorities",
    "pool",
    "openai",
    "authToken",
    "inline",
    "secretRef",
    "namespace",
    "customHost",
    "rules",
    "filters",
    "healthChecks",
    "httpHealthCheck",
    "grpcHealthCheck",
    "initialMetadata",
    "header",
    "key",
    "requestHeaderModifier",
    "set",
    "name",
    "value",
    "authorization",
];

/// JSON of the words that matter, in any shape.
fn shapes() -> impl Strategy<Value = Value> {
    let known = proptest::sample::select(WORDS).prop_map(|word: &str| word.to_owned());
    let word = prop_oneof!["canary[a-z]{0,4}", known].boxed();
    let leaf = prop_oneof![proptest::strategy::Just(Value::Null), any::<i64>().prop_map(Value::from), word.clone().prop_map(Value::from)];
    leaf.prop_recursive(8, 64, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((word.clone(), inner), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics_never_repeats_and_excuses_what_stays(spec in shapes(), route in any::<bool>()) {
        let (version, kind) = if route { ("gateway.networking.k8s.io/v1", "HTTPRoute") } else { ("gloo.solo.io/v1", "Upstream") };
        let object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "u" }, "spec": spec });
        let found = inline_credentials(&object);
        let shown = format!("{found:?}");
        prop_assert!(!shown.contains("canary"));
        prop_assert!(found.iter().all(|one| !one.field.to_string().contains("canary")));
        prop_assert!(ratchet::compare(&object, Some(&object)).introduced.is_empty());
    }
}

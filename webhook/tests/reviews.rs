//! Reviews over HTTP, as an API server sends them: the table of cases that the finder and the ValidatingAdmissionPolicy share, the
//! files in `reviews/`, and input that no API server sends. No answer ever holds a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use proptest::prelude::{prop_assert, proptest};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use webhook::service::{NamespaceApi, Webhook, respond};
use webhook::{Levels, Namespaces, decide};

const CANARY: &str = "canary";

#[derive(Deserialize)]
struct Case {
    name: String,
    level: String,
    object: Value,
    old: Option<Value>,
    allowed: bool,
    fields: Vec<String>,
}

impl Case {
    /// An update that leaves spec and annotations alone is not looked at.
    fn is_looked_at(&self) -> bool {
        let differs = |old: &Value, pointer: &str| old.pointer(pointer) != self.object.pointer(pointer);
        self.old.as_ref().is_none_or(|old| differs(old, "/spec") || differs(old, "/metadata/annotations"))
    }
}

fn cases() -> anyhow::Result<Vec<Case>> {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/tests/credentials.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(text)?).context("the table of cases")
}

/// Namespaces named after what they enforce; `team` enforces `level`.
fn webhook(level: &str) -> Arc<Webhook> {
    let webhook = Webhook::new(Levels::default(), None::<NamespaceApi>, CancellationToken::new());
    webhook.namespaces.write().replace(namespaces(level));
    webhook
}

fn namespaces(level: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let enforce = |level: &str| BTreeMap::from([("credentials.keyward.dev/enforce".to_owned(), level.to_owned())]);
    ["open", "protected", "restricted"]
        .into_iter()
        .map(|name| (name.to_owned(), enforce(name)))
        .chain([("team".to_owned(), enforce(level))])
        .collect()
}

async fn post(webhook: &Arc<Webhook>, body: impl Into<Bytes>) -> anyhow::Result<(StatusCode, String)> {
    let request = Request::post("/validate").header("content-type", "application/json").body(Full::new(body.into()))?;
    let response = respond(webhook, request).await;
    let status = response.status();
    let text = String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?;
    anyhow::ensure!(!text.contains(CANARY), "a token is in the answer: {text}");
    Ok((status, text))
}

async fn ask(webhook: &Arc<Webhook>, review: &Value) -> anyhow::Result<Value> {
    let (status, text) = post(webhook, review.to_string()).await?;
    anyhow::ensure!(status == StatusCode::OK, "{status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    Ok(answer["response"].clone())
}

fn review(object: &Value, old: Option<&Value>) -> Value {
    let (group, version) = object["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or_default();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": group, "version": version, "kind": object["kind"] },
            "name": object["metadata"]["name"],
            "namespace": object["metadata"]["namespace"],
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "object": object,
            "oldObject": old,
            "dryRun": true,
            "userInfo": { "username": "somebody" }
        }
    })
}

fn upstream(ai: Value) -> Value {
    json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai", "namespace": "protected" }, "spec": { "ai": ai } })
}

fn inline() -> Value {
    upstream(json!({ "openai": { "authToken": { "inline": "sk-canary" } } }))
}

#[tokio::test]
async fn answers_as_the_table_says() -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for case in cases()? {
        let answer = ask(&webhook(&case.level), &review(&case.object, case.old.as_ref())).await?;
        let allowed = answer["allowed"] == json!(true);
        let text = answer.to_string();
        // A refusal names what is introduced; what was there before may stand beside it.
        let named = allowed || case.old.is_some() || case.fields.iter().all(|field| text.contains(field));
        let warned = !allowed || case.fields.is_empty() || answer["warnings"].is_array() == case.is_looked_at();
        if allowed != case.allowed || !named || !warned {
            failed.push(format!("{}: {answer}", case.name));
        }
    }
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A file holds what is asked and what is to be answered: the HTTP status, and for 200 the whole response.
#[tokio::test]
async fn answers_as_the_files_say() -> anyhow::Result<()> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reviews");
    let mut files: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    files.sort_by_key(|file| file.path());
    for file in files {
        let path = file.path();
        let case: Value = serde_json::from_slice(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
        let body = case["raw"].as_str().map_or_else(|| case["review"].to_string(), str::to_owned);
        let (status, text) = post(&webhook("open"), body).await?;
        assert_eq!(json!(status.as_u16()), case["status"], "{}: {text}", path.display());
        if status == StatusCode::OK {
            let answer: Value = serde_json::from_str(&text)?;
            assert_eq!(answer["response"], case["response"], "{}", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn refuses_what_cannot_be_read_by_a_status_that_fails_the_call() -> anyhow::Result<()> {
    let webhook = webhook("open");
    let deep = format!("{{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{}", "[".repeat(500_000));
    let long = format!("{{\"canary\":\"{}\"}}", "canary".repeat(700_000));
    let number =
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": { "uid": 1, "object": CANARY } }).to_string();
    let no_uid = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": { "object": CANARY } }).to_string();
    for (body, expected) in [
        ("sk-canary".to_owned(), StatusCode::BAD_REQUEST),
        ("{\"a\": \"sk-canary\"".to_owned(), StatusCode::BAD_REQUEST),
        (deep, StatusCode::BAD_REQUEST),
        (long, StatusCode::PAYLOAD_TOO_LARGE),
        (number, StatusCode::BAD_REQUEST),
        (no_uid, StatusCode::BAD_REQUEST),
        (String::new(), StatusCode::BAD_REQUEST),
    ] {
        let (status, text) = post(&webhook, body).await?;
        assert_eq!(status, expected, "{text}");
    }
    assert!(webhook.metrics.encode().contains("keyward_webhook_reviews_total{verdict=\"unreadable\"} 7"));
    Ok(())
}

/// etcd takes objects of 1.5 MiB.
#[tokio::test]
async fn an_update_of_the_longest_objects_is_answered_envelope_included() -> anyhow::Result<()> {
    let mut object = inline();
    object["spec"]["ai"]["openai"]["model"] = json!("m".repeat(3 * 512 * 1024 - object.to_string().len()));
    let mut old = object.clone();
    old["spec"]["ai"]["openai"]["authToken"]["inline"] = json!("sk-canary-1");
    let review = review(&object, Some(&old));
    anyhow::ensure!(review.to_string().len() > 3 * 1024 * 1024);
    assert_eq!(ask(&webhook("protected"), &review).await?["status"]["code"], 403);
    let unreadable = format!("{{\"canary\": \"{}\"", "m".repeat(3 * 1024 * 1024));
    assert_eq!(post(&webhook("protected"), unreadable).await?.0, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_recorded_however_little_is_to_be() -> anyhow::Result<()> {
    let webhook = webhook("open");
    let labels =
        [("enforce", "protected"), ("audit", "open")].map(|(what, level)| (format!("credentials.keyward.dev/{what}"), level.to_owned()));
    webhook.namespaces.write().replace(vec![("protected".to_owned(), BTreeMap::from(labels))]);
    let old = upstream(json!({ "mistral": { "authToken": { "inline": "$TOKEN" } } }));
    let mut object = inline();
    object["spec"]["ai"]["mistral"] = old["spec"]["ai"]["mistral"].clone();
    let (openai, mistral) = ("spec.ai.openai.authToken.inline=InlineToken", "spec.ai.mistral.authToken.inline=UnexpandedToken");
    let created = ask(&webhook, &review(&object, None)).await?;
    assert_eq!(created["auditAnnotations"]["violations"], format!("{mistral}; {openai}"));
    let updated = ask(&webhook, &review(&object, Some(&old))).await?;
    assert_eq!(updated["auditAnnotations"]["violations"], format!("{openai}; {mistral}"), "one was there before");
    Ok(())
}

#[tokio::test]
async fn a_refusal_helps() -> anyhow::Result<()> {
    let webhook = webhook("protected");
    let answer = ask(&webhook, &review(&inline(), None)).await?;
    let message = answer["status"]["message"].as_str().context("no message")?;
    for part in [
        "spec.ai.openai.authToken.inline: a token in the manifest; use secretRef",
        "kubectl create secret generic openai-openai -n protected --from-file=Authorization=/dev/stdin",
        "kubectl patch --local -f FILE --type=json -p '[{\"op\":\"add\",\"path\":\"/spec/ai/openai/authToken\"",
        "rotate it",
    ] {
        assert!(message.contains(part), "{part} is not in\n{message}");
    }
    assert_eq!(answer["status"]["code"], 403);
    assert_eq!(answer["auditAnnotations"]["violations"], "spec.ai.openai.authToken.inline=InlineToken");
    let old = upstream(json!({ "openai": { "authToken": { "secretRef": { "name": "s" } } } }));
    let answer = ask(&webhook, &review(&inline(), Some(&old))).await?;
    let message = answer["status"]["message"].as_str().context("no message")?;
    assert!(message.contains("kubectl patch upstream openai -n protected --type=json"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_open_namespace_is_warned() -> anyhow::Result<()> {
    let mut object = inline();
    object["metadata"]["namespace"] = json!("open");
    let answer = ask(&webhook("open"), &review(&object, None)).await?;
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["warnings"], json!(["spec.ai.openai.authToken.inline: a token in the manifest; use secretRef"]));
    assert_eq!(answer["auditAnnotations"]["enforce"], "open");
    Ok(())
}

#[tokio::test]
async fn what_brings_nothing_in_always_passes() -> anyhow::Result<()> {
    let webhook = webhook("protected");
    let mut released = inline();
    released["metadata"]["finalizers"] = json!([]);
    released["status"] = json!({ "conditions": [] });
    let answer = ask(&webhook, &review(&released, Some(&inline()))).await?;
    assert_eq!(answer["allowed"], true, "a finalizer, a status");
    let mut status = review(&inline(), Some(&upstream(json!({}))));
    status["request"]["subResource"] = json!("status");
    assert_eq!(ask(&webhook, &status).await?["allowed"], true, "a subresource");
    let mut deletion = review(&inline(), None);
    deletion["request"]["operation"] = json!("DELETE");
    deletion["request"]["oldObject"] = inline();
    deletion["request"]["object"] = Value::Null;
    assert_eq!(ask(&webhook, &deletion).await?["allowed"], true, "a deletion");
    Ok(())
}

#[tokio::test]
async fn an_unknown_namespace_is_to_be_tried_again_unless_nothing_could_be_wrong() -> anyhow::Result<()> {
    let webhook = Webhook::new(Levels::default(), None::<NamespaceApi>, CancellationToken::new());
    let answer = ask(&webhook, &review(&inline(), None)).await?;
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(503)));
    let good = upstream(json!({ "openai": { "authToken": { "secretRef": { "name": "s" } } } }));
    assert_eq!(ask(&webhook, &review(&good, None)).await?["allowed"], true);
    webhook.namespaces.write().replace(namespaces("open"));
    let mut elsewhere = inline();
    elsewhere["metadata"]["namespace"] = json!("unheard-of");
    assert_eq!(ask(&webhook, &review(&elsewhere, None)).await?["status"]["code"], 503);
    Ok(())
}

#[tokio::test]
async fn thousands_of_pools_are_answered_briefly() -> anyhow::Result<()> {
    let pool: Vec<Value> = (0..3_000).map(|nth| json!({ "openai": { "authToken": { "inline": format!("canary-{nth}") } } })).collect();
    let object = upstream(json!({ "multi": { "priorities": [{ "pool": pool }] } }));
    let answer = ask(&webhook("protected"), &review(&object, None)).await?;
    assert_eq!(answer["allowed"], false);
    assert!(answer.to_string().len() < 8 * 1024, "{}", answer.to_string().len());
    Ok(())
}

/// `matchConditions` and the policy cannot import our list; they must not lack a name of it.
#[test]
fn the_manifests_know_every_credential_header() -> anyhow::Result<()> {
    for file in ["webhook/validating_webhook_configuration.yaml", "components/admission-policy/policy.yaml"] {
        let text = std::fs::read_to_string(format!("{}/../config/{file}", env!("CARGO_MANIFEST_DIR")))?;
        for header in crds::credentials::literal::CREDENTIAL_HEADERS {
            assert!(text.contains(&format!("'{header}'")), "{header} is not in {file}");
        }
    }
    Ok(())
}

proptest! {
    /// In a namespace of any level, at any place, in the name of a field as well: what answers holds no token.
    #[test]
    fn no_token_is_in_any_answer(token in "canary[ -~]{0,24}", place in 0_usize..6, level in 0_usize..3, update: bool) {
        let ai = match place {
            0 => json!({ "openai": { "authToken": { "inline": token } } }),
            1 => json!({ "openai": { "authToken": token } }),
            2 => json!({ &token: { "authToken": { "inline": token } } }),
            3 => json!({ "bedrock": { "credentialProvider": { "inline": { "accessKeyId": token, &token: token } } } }),
            4 => json!({ "openai": { "customHost": { "host": format!("u:{token}@h"), "pathOverride": { "fullPath": format!("/?key={token}") } } } }),
            _ => json!({ "openai": { "authToken": { "secretRef": { "name": token, "namespace": token } } } }),
        };
        let mut object = upstream(ai);
        // With a space, so that it is no name that Kubernetes would take, and show.
        object["metadata"]["name"] = json!(format!("{token} "));
        object["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": object.to_string() });
        let old = upstream(json!({}));
        let review = review(&object, update.then_some(&old));
        let level = ["open", "protected", "restricted"][level];
        let mut known = Namespaces::new(Levels::default());
        known.replace(namespaces(level));
        for namespace in ["team", "protected", "restricted"] {
            let mut request = webhook::Request::decode(review.to_string().as_bytes()).map_err(|error| proptest::test_runner::TestCaseError::fail(error.to_string()))?;
            request.namespace = namespace.to_owned();
            let verdict = decide(&request, &known);
            let answer = String::from_utf8(webhook::answer::answer(&request.uid, &verdict)).unwrap();
            prop_assert!(!answer.contains(CANARY) && !format!("{verdict:?}").contains(CANARY), "{answer}");
        }
    }
}

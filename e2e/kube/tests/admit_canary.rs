//! A canary token takes every way that a token can take into admission, and is then looked for in everything that was answered, logged,
//! counted and noted.

use anyhow::{Result, ensure};
use keyward_e2e_kube::{Attempt, AuditLog, Cluster, Deployed, Kind, Namespace, SOON, Webhook, wait_until};
use serde_json::{Value, json};

use crate::canary::{CANARY, Heard};

const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn upstream(name: &str, ai: Value) -> Value {
    json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": name }, "spec": { "ai": ai } })
}

fn route(kind: &str, filter: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": { "name": "route" },
        "spec": { "rules": [{ "filters": [filter] }] },
    })
}

/// Objects with a token in every place that can have one, those among them that the schema does not take. Not in the name of a field: the
/// API server repeats a name that it does not know, in its answer and in its audit log.
fn objects() -> Vec<(Kind, Value)> {
    let header = |field: &str| json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": { field: [{ "name": "x-api-key", "value": CANARY }] } });
    let path = json!({ "type": "ReplaceFullPath", "replaceFullPath": format!("/v1?key={CANARY}") });
    let mut copied = upstream("copied", json!({ "openai": { "authToken": { "secretRef": { "name": "s" } } } }));
    copied["metadata"]["annotations"] =
        json!({ COPY: upstream("copied", json!({ "openai": { "authToken": { "inline": CANARY } } })).to_string() });
    let mut broken = copied.clone();
    broken["metadata"]["annotations"] = json!({ COPY: format!("{{\"inline\": \"{CANARY}") });
    let aws = json!({ "accessKeyId": CANARY, "secretAccessKey": CANARY, "sessionToken": CANARY });
    let url = json!({ "host": format!("user:{CANARY}@example.com"), "pathOverride": { "fullPath": format!("/v1?api_key={CANARY}") } });
    let pool = json!([{ "pool": [{ "mistral": { "authToken": { "inline": CANARY } } }] }]);
    let both = json!({ "openai": { "authToken": { "inline": CANARY, "secretRef": { "name": CANARY, "namespace": "elsewhere" } } } });
    let upstreams = [
        upstream("inline", json!({ "openai": { "authToken": { "inline": CANARY } } })),
        upstream("bearer", json!({ "anthropic": { "authToken": { "inline": format!("Bearer {CANARY}") } } })),
        upstream("variable", json!({ "openai": { "authToken": { "inline": format!("${{{}}}", CANARY.replace('-', "_")) } } })),
        upstream("aws", json!({ "bedrock": { "credentialProvider": { "inline": aws } } })),
        upstream("url", json!({ "openai": { "authToken": { "passthrough": {} }, "customHost": url } })),
        upstream("pool", json!({ "multi": { "priorities": pool } })),
        upstream("both", both),
        upstream("text", json!({ "openai": { "authToken": CANARY } })),
        upstream("number", json!({ "openai": { "authToken": { "inline": [CANARY] } } })),
        copied,
        broken,
    ];
    let routes = [
        (Kind::HTTP_ROUTE, route("HTTPRoute", header("set"))),
        (Kind::HTTP_ROUTE, route("HTTPRoute", json!({ "type": "URLRewrite", "urlRewrite": { "path": path } }))),
        (Kind::GRPC_ROUTE, route("GRPCRoute", header("add"))),
    ];
    upstreams.into_iter().map(|object| (Kind::UPSTREAM, object)).chain(routes).collect()
}

/// Tries every object in a namespace and notes what is answered; gives about how many the webhook was asked.
fn ask(namespace: &Namespace<'_>, heard: &mut Heard) -> Result<usize> {
    let mut reviewed = 0;
    for (kind, object) in objects() {
        let answer = namespace.cluster().attempt(&Attempt::create(kind, namespace.name(), &object))?;
        reviewed += usize::from(answer.status == 403 || !answer.warnings.is_empty());
        heard.note(format!("answer about {} in {}", object["metadata"]["name"], namespace.name()), format!("{answer:?}"));
    }
    Ok(reviewed)
}

#[test]
fn shows_a_token_in_no_answer_log_metric_or_audit_annotation() -> Result<()> {
    let log = AuditLog::from_now()?;
    let cluster = Cluster::shared()?;
    let webhook = Webhook(&cluster);
    let mut heard = Heard::default();
    for level in ["open", "protected", "restricted"] {
        let namespace = Namespace::create(&cluster, &format!("canary-{level}"))?;
        cluster.kubectl(&["label", "namespace", namespace.name(), &format!("credentials.keyward.dev/enforce={level}")], None)?;
        wait_until("the webhook knows the level", SOON, || {
            let (kind, object) = (Kind::UPSTREAM, upstream("probe", json!({ "openai": { "authToken": { "inline": CANARY } } })));
            let answer = cluster.attempt(&Attempt::create(kind, namespace.name(), &object))?;
            ensure!(answer.is_allowed() == (level == "open"), "{answer:?}");
            Ok(())
        })?;
        let reviewed = ask(&namespace, &mut heard)?;
        ensure!(reviewed >= 8, "{level}: only {reviewed} objects got as far as admission");
    }
    for replica in webhook.replicas()? {
        heard.note(format!("metrics of {}", replica.name), webhook.metrics(&replica)?.text());
    }
    heard.note("the webhook's logs", webhook.logs()?);
    if let Some(log) = log {
        wait_until("the audit log has it", SOON, || {
            ensure!(log.text()?.contains("upstreams.credentials.keyward.dev/violations"), "it has nothing");
            Ok(())
        })?;
        heard.note("the audit log", log.text()?);
    }
    assert!(heard.said_in("the webhook's logs")?.contains("refused"), "the webhook's log tells of no refusal");
    heard.assert_no_canary()
}

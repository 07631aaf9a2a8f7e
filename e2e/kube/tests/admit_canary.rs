//! A canary token takes every way that a token can take into admission, and is then looked for in everything that was answered, logged,
//! counted and noted.

use anyhow::{Result, ensure};
use keyward_e2e_kube::{Answer, Attempt, AuditLog, Cluster, Deployed, Excluding, Kind, Namespace, SOON, Webhook, wait_until};
use serde_json::{Value, json};

use crate::admit_table::Policy;
use crate::canary::{CANARY, Heard};

const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// In the audit log: what a policy says whose binding has the action `Audit`.
const VALIDATION_FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";
/// Objects that must get as far as the webhook, and as the policy, which reads no copies: most. Less would tell nothing.
const BY_WEBHOOK: usize = 40;
const BY_POLICY: usize = 15;

fn upstream(name: &str, ai: Value) -> Value {
    with_spec(name, json!({ "ai": ai }))
}

fn with_spec(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": name }, "spec": spec })
}

/// Tokens where tokens are, of the right shape and of others.
fn tokens() -> Vec<Value> {
    let aws = json!({ "accessKeyId": CANARY, "secretAccessKey": CANARY, "sessionToken": CANARY });
    let pool = json!([{ "pool": [{ "mistral": { "authToken": { "inline": CANARY } } }] }]);
    let both = json!({ "openai": { "authToken": { "inline": CANARY, "secretRef": { "name": CANARY, "namespace": "elsewhere" } } } });
    vec![
        upstream("inline", json!({ "openai": { "authToken": { "inline": CANARY } } })),
        upstream("bearer", json!({ "anthropic": { "authToken": { "inline": format!("Bearer {CANARY}") } } })),
        upstream("variable", json!({ "openai": { "authToken": { "inline": format!("${{{}}}", CANARY.replace('-', "_")) } } })),
        upstream("aws", json!({ "bedrock": { "credentialProvider": { "inline": aws } } })),
        upstream("pool", json!({ "multi": { "priorities": pool } })),
        upstream("both", both),
        upstream("text", json!({ "openai": { "authToken": CANARY } })),
        upstream("number", json!({ "openai": { "authToken": { "inline": [CANARY] } } })),
        with_spec("misplaced", json!({ "openai": { "authToken": { "inline": CANARY } } })),
    ]
}

fn key(path: &str) -> String {
    format!("{path}?key={CANARY}")
}

/// Keys and users in everything of a provider that becomes part of a URL.
fn urls() -> Vec<Value> {
    let (token, user) = (json!({ "passthrough": {} }), format!("user:{CANARY}@example.com"));
    let host = json!({ "host": user, "hostname": user, "pathOverride": { "fullPath": key("/v1") } });
    let base = json!({ "host": "example.com", "pathOverride": { "basePath": key("/v1") } });
    let endpoint = format!("https://{user}");
    let azure = json!({ "authToken": token, "endpoint": endpoint, "deploymentName": key("gpt"), "apiVersion": key("2024-02-01") });
    let vertex = json!({
        "authToken": token, "model": key("m"), "apiVersion": key("v1"), "projectId": key("p"), "location": key("l"), "modelPath": key("x"),
    });
    vec![
        upstream("host", json!({ "openai": { "authToken": token, "customHost": host, "model": key("gpt") } })),
        upstream("base", json!({ "mistral": { "authToken": token, "customHost": base } })),
        upstream("azure", json!({ "azureOpenai": azure })),
        upstream("gemini", json!({ "gemini": { "authToken": token, "model": key("m"), "apiVersion": key("v1beta") } })),
        upstream("vertex", json!({ "vertexAi": vertex })),
    ]
}

/// What Gloo's Upstreams have beside providers.
fn beside_providers() -> Vec<Value> {
    let header = json!({ "key": "authorization", "value": format!("Bearer {CANARY}") });
    let added = json!({ "httpHealthCheck": { "path": "/healthz", "requestHeadersToAdd": [{ "header": header }] } });
    let called =
        json!({ "grpcHealthCheck": { "authority": format!("user:{CANARY}@example.com"), "initialMetadata": [{ "header": header }] } });
    let asked = json!({ "httpHealthCheck": { "path": key("/healthz") } });
    let host = json!({ "addr": "example.com", "port": 443, "healthCheckConfig": { "path": key("/healthz") } });
    let fixed = json!({ "hosts": [{ "addr": "example.com", "port": 443 }] });
    vec![
        with_spec("connect", json!({ "static": fixed, "httpConnectHeaders": [header] })),
        with_spec("added", json!({ "static": fixed, "healthChecks": [added] })),
        with_spec("called", json!({ "static": fixed, "healthChecks": [called] })),
        with_spec("asked", json!({ "static": fixed, "healthChecks": [asked] })),
        with_spec("by-host", json!({ "static": { "hosts": [host] } })),
        with_spec("proxied", json!({ "static": fixed, "httpProxyHostname": format!("user:{CANARY}@example.com") })),
    ]
}

/// Every filter that can have one, of a rule and of a backendRef.
fn routes() -> Vec<(Kind, Value)> {
    let header = |field: &str| json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": { field: [{ "name": "x-api-key", "value": CANARY }] } });
    let headers = [header("set"), header("add")];
    let full = json!({ "type": "ReplaceFullPath", "replaceFullPath": key("/v1") });
    let prefix = json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": key("/v1") });
    let paths = [full, prefix].into_iter().flat_map(|path| {
        let rewrite = json!({ "type": "URLRewrite", "urlRewrite": { "path": path } });
        [rewrite, json!({ "type": "RequestRedirect", "requestRedirect": { "path": path } })]
    });
    let of_http = headers.clone().into_iter().chain(paths).flat_map(|filter| both_places(Kind::HTTP_ROUTE, "HTTPRoute", &filter));
    of_http.chain(headers.iter().flat_map(|filter| both_places(Kind::GRPC_ROUTE, "GRPCRoute", filter))).collect()
}

fn both_places(kind: Kind, name: &str, filter: &Value) -> [(Kind, Value); 2] {
    let route = |rule: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": name, "metadata": { "name": "route" }, "spec": { "rules": [rule] },
        })
    };
    let of_backend = json!({ "backendRefs": [{ "name": "s", "port": 80, "filters": [filter] }] });
    [(kind, route(json!({ "filters": [filter] }))), (kind, route(of_backend))]
}

/// The object after its credential was taken out of it, and before it was taken out of its copy.
fn copied(kind: Kind, object: &Value) -> (Kind, Value) {
    let copy = object.to_string();
    let mut object = object.clone();
    object["spec"] = match object["kind"].as_str() {
        Some("Upstream") => json!({ "ai": { "openai": { "authToken": { "secretRef": { "name": "s" } } } } }),
        _ => json!({ "parentRefs": [{ "name": "gw" }] }),
    };
    object["metadata"]["annotations"] = json!({ COPY: copy });
    (kind, object)
}

/// Objects with a token in every place that can have one, those among them that the schema does not take, and all of them as copies. Not in
/// the name of a field: the API server repeats a name that it does not know, in its answer and in its audit log.
fn objects() -> Vec<(Kind, Value)> {
    let upstreams = [tokens(), urls(), beside_providers()].concat();
    let mut objects: Vec<(Kind, Value)> = upstreams.into_iter().map(|object| (Kind::UPSTREAM, object)).chain(routes()).collect();
    let copies: Vec<(Kind, Value)> = objects.iter().map(|(kind, object)| copied(*kind, object)).collect();
    let mut broken = upstream("broken", json!({ "openai": { "authToken": { "secretRef": { "name": "s" } } } }));
    broken["metadata"]["annotations"] = json!({ COPY: format!("{{\"inline\": \"{CANARY}") });
    objects.extend(copies);
    objects.push((Kind::UPSTREAM, broken));
    objects
}

/// Tries every object in a namespace and notes what is answered; gives about how many came as far as admission.
fn ask(namespace: &Namespace<'_>, heard: &mut Heard) -> Result<usize> {
    let mut reviewed = 0;
    for (kind, object) in objects() {
        let answer = namespace.cluster().attempt(&Attempt::create(kind, namespace.name(), &object))?;
        reviewed += usize::from(answer.status == 403 || !answer.warnings.is_empty());
        heard.note(format!("answer about {} in {}", object["metadata"]["name"], namespace.name()), format!("{answer:?}"));
    }
    Ok(reviewed)
}

fn probe(namespace: &Namespace<'_>) -> Result<Answer> {
    let object = upstream("probe", json!({ "openai": { "authToken": { "inline": CANARY } } }));
    namespace.cluster().attempt(&Attempt::create(Kind::UPSTREAM, namespace.name(), &object))
}

/// Notes the audit log, once it has this.
fn listen_to(log: &AuditLog, annotation: &str, heard: &mut Heard) -> Result<()> {
    wait_until("the audit log has it", SOON, || {
        ensure!(log.text()?.contains(annotation), "it has nothing");
        Ok(())
    })?;
    heard.note("the audit log", log.text()?);
    Ok(())
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
            let answer = probe(&namespace)?;
            ensure!(answer.is_allowed() == (level == "open"), "{answer:?}");
            Ok(())
        })?;
        let reviewed = ask(&namespace, &mut heard)?;
        ensure!(reviewed >= BY_WEBHOOK, "{level}: only {reviewed} objects got as far as admission");
    }
    for replica in webhook.replicas()? {
        heard.note(format!("metrics of {}", replica.name), webhook.metrics(&replica)?.text());
    }
    heard.note("the webhook's logs", webhook.logs()?);
    if let Some(log) = log {
        listen_to(&log, "upstreams.credentials.keyward.dev/violations", &mut heard)?;
    }
    assert!(heard.said_in("the webhook's logs")?.contains("refused"), "the webhook's log tells of no refusal");
    heard.assert_no_canary()
}

/// Where the webhook is not asked: what the policy says is the API server's to word, from our expressions.
#[test]
fn the_policy_shows_a_token_in_no_answer_and_no_audit_annotation() -> Result<()> {
    let cluster = Cluster::alone()?;
    let log = AuditLog::from_now()?;
    let _excluding = Excluding::new(&cluster)?;
    let _policy = Policy::apply(&cluster)?;
    let namespace = Namespace::create(&cluster, "canary-policy")?;
    let excluded = format!("{}=yes", Excluding::LABEL);
    cluster.kubectl(&["label", "namespace", namespace.name(), &excluded, "credentials.keyward.dev/enforce=restricted"], None)?;
    wait_until("the policy refuses, and nobody else", SOON, || {
        let answer = probe(&namespace)?;
        ensure!(answer.status == 403 && answer.message.contains("ValidatingAdmissionPolicy 'keyward-"), "{answer:?}");
        Ok(())
    })?;
    let mut heard = Heard::default();
    let judged = ask(&namespace, &mut heard)?;
    ensure!(judged >= BY_POLICY, "only {judged} objects got as far as admission");
    if let Some(log) = log {
        listen_to(&log, VALIDATION_FAILURE, &mut heard)?;
    }
    heard.assert_no_canary()
}

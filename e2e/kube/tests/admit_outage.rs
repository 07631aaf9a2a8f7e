//! Every pod of the webhook is down. What could hold a credential is refused; nothing else notices.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::{route, secret, upstream};
use keyward_e2e_kube::{Attempt, Cluster, Deployed, Kind, Namespace, SOON, Webhook, wait_until};
use serde_json::{Value, json};

const FINALIZER: &str = "e2e.keyward.dev/kept";

fn inline(name: &str) -> Value {
    json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": name },
        "spec": { "ai": { "openai": { "authToken": { "inline": "sk-outage" } } } },
    })
}

fn literal_header() -> Value {
    let set = json!({ "set": [{ "name": "Authorization", "value": "Bearer sk-outage" }] });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "literal" },
        "spec": { "rules": [{ "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": set }] }] },
    })
}

/// Objects of ours without a credential, and kinds that are none of the webhook's business.
fn harmless_objects_pass(namespace: &Namespace<'_>) -> Result<()> {
    let by_secret = |more: &str| upstream("good", "{secretRef: {name: key}}", more);
    namespace.apply(&[secret("key", "sk-outage"), by_secret(""), route("good", "gw", "good")].concat())?;
    namespace.apply(&by_secret("model: gpt-4o"))?;
    let cluster = namespace.cluster();
    cluster.kubectl(&["create", "configmap", "plain", "-n", namespace.name(), "--from-literal=inline=sk-outage"], None)?;
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    let another = Namespace::create(cluster, "outage-too")?;
    let deployment = ["create", "deployment", "plain", "-n", another.name(), "--image=none.invalid/none", "--dry-run=server"];
    cluster.kubectl(&deployment, None).map(drop)
}

/// An object from before, which has a token.
fn what_brings_nothing_in_passes(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let cluster = namespace.cluster();
    let patch = |patch: Value| cluster.patch(Kind::UPSTREAM, namespace.name(), name, &patch);
    patch(json!({ "metadata": { "labels": { "a": "b" }, "finalizers": [FINALIZER] } }))?;
    let status = json!({ "status": { "statuses": { "elsewhere": { "state": "Pending" } } } });
    cluster.patch_status(Kind::UPSTREAM, namespace.name(), name, &status)?;
    namespace.delete(Kind::UPSTREAM, name)?;
    patch(json!({ "metadata": { "finalizers": null } }))?;
    cluster.gone(Kind::UPSTREAM, namespace.name(), name, SOON)
}

fn what_could_violate_is_refused(namespace: &Namespace<'_>) -> Result<()> {
    for (kind, object, webhook) in [
        (Kind::UPSTREAM, inline("new"), "upstreams.credentials.keyward.dev"),
        (Kind::HTTP_ROUTE, literal_header(), "routes.credentials.keyward.dev"),
    ] {
        let answer = namespace.cluster().attempt(&Attempt::create(kind, namespace.name(), &object))?;
        let told = answer.message.contains("failed calling webhook") && answer.message.contains(webhook);
        ensure!(!answer.is_allowed() && told, "{answer:?}");
        ensure!(!answer.message.contains("sk-outage"), "{answer:?}");
    }
    Ok(())
}

#[test]
fn with_every_pod_of_it_down_only_what_could_violate_waits() -> Result<()> {
    let cluster = Cluster::alone()?;
    let webhook = Webhook(&cluster);
    webhook.settled()?;
    let namespace = Namespace::create(&cluster, "outage")?;
    for name in ["goes", "is-moved"] {
        cluster.put(Kind::UPSTREAM, namespace.name(), name, &inline(name))?;
    }
    let away = webhook.take_away()?;
    harmless_objects_pass(&namespace)?;
    what_brings_nothing_in_passes(&namespace, "goes")?;
    let moved = json!({ "spec": { "ai": { "openai": { "authToken": { "inline": null, "secretRef": { "name": "key" } } } } } });
    cluster.patch(Kind::UPSTREAM, namespace.name(), "is-moved", &moved)?;
    what_could_violate_is_refused(&namespace)?;
    drop(away);
    let open = Namespace::create(&cluster, "outage-over")?;
    wait_until("reviews are answered again", SOON, || {
        let answer = cluster.attempt(&Attempt::create(Kind::UPSTREAM, open.name(), &inline("new")))?;
        ensure!(answer.is_allowed(), "{answer:?}");
        Ok(())
    })
}

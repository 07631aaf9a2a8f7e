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

fn literal_header(kind: &str, name: &str) -> Value {
    let set = json!({ "set": [{ "name": "Authorization", "value": "Bearer sk-outage" }] });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": { "name": name },
        "spec": { "rules": [{ "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": set }] }] },
    })
}

/// An object with a credential, which was there before, and a status that somebody else's controller writes.
struct Before {
    kind: Kind,
    object: Value,
    status: Value,
}

impl Before {
    fn all() -> [Self; 3] {
        let accepted = json!({
            "type": "Accepted", "status": "False", "reason": "Pending", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let parent = json!({ "controllerName": "e2e.keyward.dev/elsewhere", "parentRef": { "name": "gw" }, "conditions": [accepted] });
        let (statuses, parents) = (json!({ "statuses": { "elsewhere": { "state": "Pending" } } }), json!({ "parents": [parent] }));
        [
            Self { kind: Kind::UPSTREAM, object: inline("goes"), status: statuses },
            Self { kind: Kind::HTTP_ROUTE, object: literal_header("HTTPRoute", "goes"), status: parents.clone() },
            Self { kind: Kind::GRPC_ROUTE, object: literal_header("GRPCRoute", "goes"), status: parents },
        ]
    }

    fn put(&self, namespace: &Namespace<'_>) -> Result<()> {
        namespace.cluster().put(self.kind, namespace.name(), "goes", &self.object)
    }

    fn what_brings_nothing_in_passes(&self, namespace: &Namespace<'_>) -> Result<()> {
        let cluster = namespace.cluster();
        let patch = |patch: Value| cluster.patch(self.kind, namespace.name(), "goes", &patch);
        patch(json!({ "metadata": { "labels": { "a": "b" }, "finalizers": [FINALIZER] } }))?;
        cluster.patch_status(self.kind, namespace.name(), "goes", &json!({ "status": self.status }))?;
        namespace.delete(self.kind, "goes")?;
        patch(json!({ "metadata": { "finalizers": null } }))?;
        cluster.gone(self.kind, namespace.name(), "goes", SOON)
    }
}

/// Objects of ours without a credential, and kinds that are none of the webhook's business.
fn harmless_objects_pass(namespace: &Namespace<'_>) -> Result<()> {
    let by_secret = |more: &str| upstream("good", "{secretRef: {name: key}}", more);
    namespace.apply(&[secret("key", "sk-outage"), by_secret(""), route("good", "gw", "good")].concat())?;
    namespace.apply(&by_secret("model: gpt-4o"))?;
    let cluster = namespace.cluster();
    cluster.kubectl(&["create", "configmap", "plain", "-n", namespace.name(), "--from-literal=inline=sk-outage"], None)?;
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    // A list that is null is one that is not there.
    let null = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "null" },
        "spec": { "ai": { "openai": { "authToken": { "secretRef": { "name": "key" } } } }, "healthChecks": null },
    });
    let answer = cluster.attempt(&Attempt::create(Kind::UPSTREAM, namespace.name(), &null))?;
    ensure!(answer.is_allowed(), "healthChecks: null: {answer:?}");
    let another = Namespace::create(cluster, "outage-too")?;
    let deployment = ["create", "deployment", "plain", "-n", another.name(), "--image=none.invalid/none", "--dry-run=server"];
    cluster.kubectl(&deployment, None).map(drop)
}

fn what_could_violate_is_refused(namespace: &Namespace<'_>) -> Result<()> {
    for (kind, object, webhook) in [
        (Kind::UPSTREAM, inline("new"), "upstreams.credentials.keyward.dev"),
        (Kind::HTTP_ROUTE, literal_header("HTTPRoute", "new"), "routes.credentials.keyward.dev"),
        (Kind::GRPC_ROUTE, literal_header("GRPCRoute", "new"), "routes.credentials.keyward.dev"),
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
    let before = Before::all();
    before.iter().try_for_each(|one| one.put(&namespace))?;
    cluster.put(Kind::UPSTREAM, namespace.name(), "is-moved", &inline("is-moved"))?;
    let away = webhook.take_away()?;
    harmless_objects_pass(&namespace)?;
    before.iter().try_for_each(|one| one.what_brings_nothing_in_passes(&namespace))?;
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

//! Infrastructure writes: each Gateway's Deployment, Service and what goes with them, by server-side apply, when something differs from what
//! was applied. Deleting a Gateway needs nothing: its objects have it as owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use translate::{Infra, InfraObject, ObjectKey};

use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::status::FIELD_MANAGER;

/// Fingerprint of what was applied, on the object itself, so that a new leader applies nothing anew.
const APPLIED: &str = "keyward.dev/applied";
/// The label on everything that is applied.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by=keyward";
const WRITERS: usize = 4;
const RETRY: Duration = Duration::from_secs(1);

/// Kinds of objects that a Gateway's infrastructure is made of: group, version, kind, plural.
pub(crate) const OWNED: [(&str, &str, &str, &str); 6] = [
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Service", "services"),
    ("apps", "v1", "Deployment", "deployments"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
];

/// Where the API server has an owned kind.
pub(crate) fn owned_resource((group, version, kind, plural): (&str, &str, &str, &str)) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.into(), plural: plural.into() }
}

/// Kind and identity of an owned object.
type Id = (String, ObjectKey);

/// All infrastructure of ours, wanted and live.
pub(crate) struct Infrastructure {
    state: Mutex<State>,
    queue: mpsc::UnboundedSender<ObjectKey>,
    client: Client,
    leader: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    wanted: BTreeMap<ObjectKey, Arc<Infra>>,
    live: BTreeMap<Id, Live>,
    /// How each object was right after our last write.
    written: BTreeMap<Id, String>,
    queued: BTreeSet<ObjectKey>,
    /// All owned kinds were listed once: before that, everything would seem to be missing.
    listed: BTreeSet<&'static str>,
}

#[derive(Clone)]
struct Live {
    applied: Option<String>,
    /// Generation, or resource version where a kind has no generations.
    mark: String,
    /// The Gateway that owns it.
    gateway: Option<ObjectKey>,
}

impl Infrastructure {
    /// The writer itself runs in [`Infrastructure::run`].
    pub(crate) fn new(
        client: Client,
        leader: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<ObjectKey>) {
        let (queue, work) = mpsc::unbounded_channel();
        (Arc::new(Self { state: Mutex::default(), queue, client, leader, metrics }), work)
    }

    /// What a Gateway needs; `None`: nothing any more.
    pub(crate) fn want(&self, gateway: &ObjectKey, infra: Option<Infra>) {
        let mut state = self.state.lock();
        match infra {
            Some(infra) => drop(state.wanted.insert(gateway.clone(), Arc::new(infra))),
            None => drop(state.wanted.remove(gateway)),
        }
        self.enqueue(&mut state, gateway);
    }

    /// An owned object as the API server has it.
    pub(crate) fn saw(&self, kind: &'static str, metadata: &ObjectMeta) {
        let live = Live {
            applied: metadata.annotations.as_ref().and_then(|annotations| annotations.get(APPLIED)).cloned(),
            mark: mark(metadata),
            gateway: owner(metadata),
        };
        let mut state = self.state.lock();
        let gateway = live.gateway.clone();
        state.live.insert((kind.to_owned(), ObjectKey::of(metadata)), live);
        gateway.iter().for_each(|gateway| self.enqueue(&mut state, gateway));
    }

    /// An owned object is gone: if it is wanted, it is made again.
    pub(crate) fn gone(&self, kind: &'static str, key: &ObjectKey) {
        let mut state = self.state.lock();
        let live = state.live.remove(&(kind.to_owned(), key.clone()));
        if let Some(gateway) = live.and_then(|live| live.gateway) {
            self.enqueue(&mut state, &gateway);
        }
    }

    /// All objects of an owned kind were seen.
    pub(crate) fn synced(&self, kind: &'static str) {
        let mut state = self.state.lock();
        state.listed.insert(kind);
        if state.is_listed() {
            self.enqueue_all(&mut state);
        }
    }

    fn enqueue(&self, state: &mut State, gateway: &ObjectKey) {
        if state.is_listed() && *self.leader.borrow() && state.queued.insert(gateway.clone()) {
            let _ = self.queue.send(gateway.clone());
        }
    }

    fn enqueue_all(&self, state: &mut State) {
        let all: Vec<ObjectKey> = state.wanted.keys().cloned().collect();
        all.iter().for_each(|gateway| self.enqueue(state, gateway));
    }

    /// Writes until there is nobody left who could want anything. A new leader looks at everything once.
    pub(crate) async fn run(self: Arc<Self>, work: mpsc::UnboundedReceiver<ObjectKey>) {
        let mut leader = self.leader.clone();
        let fresh = Arc::clone(&self);
        tokio::spawn(async move {
            while leader.changed().await.is_ok() {
                fresh.enqueue_all(&mut fresh.state.lock());
            }
        });
        UnboundedReceiverStream::new(work).for_each_concurrent(WRITERS, |gateway| self.settle(gateway)).await;
    }

    async fn settle(&self, gateway: ObjectKey) {
        let (missing, surplus) = self.steps(&gateway);
        let mut failed = false;
        for object in missing {
            failed |= !self.apply(&gateway, object).await;
        }
        for id in surplus {
            failed |= !self.delete(&id).await;
        }
        if failed {
            tokio::time::sleep(RETRY).await;
            self.enqueue(&mut self.state.lock(), &gateway);
        }
    }

    /// What to write and what to delete.
    fn steps(&self, gateway: &ObjectKey) -> (Vec<InfraObject>, Vec<Id>) {
        let mut state = self.state.lock();
        state.queued.remove(gateway);
        if !*self.leader.borrow() {
            return (Vec::new(), Vec::new());
        }
        let objects = state.wanted.get(gateway).map(|infra| infra.objects()).unwrap_or_default();
        let wanted: BTreeSet<Id> = objects.iter().map(id).collect();
        let owned = state.live.iter().filter(|(_, live)| live.gateway.as_ref() == Some(gateway));
        let surplus = owned.map(|(id, _)| id.clone()).filter(|id| !wanted.contains(id)).collect();
        (objects.into_iter().filter(|object| state.differs(object)).collect(), surplus)
    }

    async fn apply(&self, gateway: &ObjectKey, object: InfraObject) -> bool {
        let id = id(&object);
        let Some(resource) = resource_of(&object.kind) else { return true };
        let api = self.api(&resource, &object.namespace);
        let applied = fingerprint(&object.value);
        let mut value = object.value;
        annotate(&mut value, &applied);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&object.name, &params, &Patch::Apply(&value)).await;
        self.count(&id.0, written.is_ok());
        match written {
            Ok(manifest) => {
                let mark = mark(&manifest.metadata);
                let mut state = self.state.lock();
                state.live.insert(id.clone(), Live { applied: Some(applied), mark: mark.clone(), gateway: Some(gateway.clone()) });
                state.written.insert(id, mark);
                true
            }
            Err(error) => {
                // A namespace that is being deleted takes nothing new; its Gateway goes as well.
                let expected = matches!(&error, kube::Error::Api(status) if status.code == 404 || status.message.contains("being terminated"));
                if !expected {
                    tracing::warn!(gateway.name = %gateway, object.kind = id.0, object.name = %id.1, %error, "could not be applied, trying again");
                }
                expected
            }
        }
    }

    /// Something that the Gateway no longer needs, such as an autoscaler.
    async fn delete(&self, id: &Id) -> bool {
        let Some(resource) = resource_of(&id.0) else { return true };
        let deleted = self.api(&resource, &id.1.namespace).delete(&id.1.name, &DeleteParams::background()).await;
        let done = matches!(&deleted, Ok(_)) || matches!(&deleted, Err(kube::Error::Api(status)) if status.code == 404);
        self.count(&id.0, done);
        if done {
            self.state.lock().live.remove(id);
        }
        done
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<Manifest> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    fn count(&self, kind: &str, ok: bool) {
        self.metrics.infra_writes.with_label_values(&[kind, if ok { "ok" } else { "error" }]).inc();
    }
}

impl State {
    fn is_listed(&self) -> bool {
        self.listed.len() == OWNED.len()
    }

    /// Whether an object is missing, was applied otherwise, or was changed by somebody since.
    fn differs(&self, object: &InfraObject) -> bool {
        let id = id(object);
        let Some(live) = self.live.get(&id) else { return true };
        let touched = self.written.get(&id).is_some_and(|mark| *mark != live.mark);
        touched || live.applied.as_deref() != Some(fingerprint(&object.value).as_str())
    }
}

fn resource_of(kind: &str) -> Option<ApiResource> {
    OWNED.iter().find(|owned| owned.2 == kind).map(|owned| owned_resource(*owned))
}

fn id(object: &InfraObject) -> Id {
    (object.kind.clone(), ObjectKey::new(&object.namespace, &object.name))
}

fn mark(metadata: &ObjectMeta) -> String {
    metadata.generation.map(|generation| generation.to_string()).or_else(|| metadata.resource_version.clone()).unwrap_or_default()
}

fn owner(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let owner = metadata.owner_references.as_ref()?.iter().find(|owner| owner.kind == "Gateway" && owner.controller == Some(true))?;
    Some(ObjectKey::new(metadata.namespace.clone()?, &owner.name))
}

fn fingerprint(value: &Value) -> String {
    Sha256::digest(value.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn annotate(value: &mut Value, applied: &str) {
    let annotations = value.get_mut("metadata").and_then(Value::as_object_mut).map(|metadata| metadata.entry("annotations"));
    if let Some(annotations) = annotations.map(|entry| entry.or_insert_with(|| json!({}))).and_then(Value::as_object_mut) {
        annotations.insert(APPLIED.to_owned(), json!(applied));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_what_was_applied_without_touching_other_annotations() {
        let mut value = json!({ "metadata": { "annotations": { "a": "b" } } });
        annotate(&mut value, "f");
        assert_eq!(value, json!({ "metadata": { "annotations": { "a": "b", APPLIED: "f" } } }));
        let mut bare = json!({ "metadata": {} });
        annotate(&mut bare, "f");
        assert_eq!(bare["metadata"]["annotations"][APPLIED], "f");
    }

    #[test]
    fn knows_the_gateway_that_owns_an_object() {
        let metadata: ObjectMeta = serde_json::from_value(json!({
            "namespace": "ns", "name": "x",
            "ownerReferences": [{ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "gw", "uid": "u", "controller": true }],
        }))
        .unwrap();
        assert_eq!(owner(&metadata), Some(ObjectKey::new("ns", "gw")));
    }
}

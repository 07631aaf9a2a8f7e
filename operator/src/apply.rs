//! Infrastructure writes: each Gateway's Deployment, Service and what goes with them, by server-side apply, when something differs from what
//! was applied. Deleting a Gateway needs nothing: its objects have it as owner. An object of the same name that is somebody else's is left
//! alone, and so is everything of a Gateway that nothing was said about yet. Of a Gateway that is not ours only what we applied is deleted.

mod replicas;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
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
/// `controllerName` of who applied it, on the object itself: another Keyward's objects have our labels, and a Gateway as owner as well.
const CONTROLLER: &str = "keyward.dev/controller";
/// The label on everything that is applied.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by=keyward";
const WRITERS: usize = 4;
/// The first pause after a failure, and the longest: each is twice the one before.
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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
    controller: String,
    leader: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
    troubles: mpsc::UnboundedSender<Trouble>,
}

/// Why something of a Gateway could not be applied; `None`: all of it was.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) gateway: ObjectKey,
    pub(crate) why: Option<String>,
}

#[derive(Default)]
struct State {
    /// `None`: nothing any more. A Gateway that is not here at all was not judged yet.
    wanted: BTreeMap<ObjectKey, Option<Arc<Infra>>>,
    /// Failures in a row.
    failures: BTreeMap<ObjectKey, u32>,
    live: BTreeMap<Id, Live>,
    /// How each object was right after our last write.
    written: BTreeMap<Id, Content>,
    queued: BTreeSet<ObjectKey>,
    /// All owned kinds were listed once: before that, everything would seem to be missing.
    listed: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
struct Live {
    uid: Option<String>,
    applied: Option<String>,
    controller: Option<String>,
    content: Content,
    /// The Gateway that owns it.
    gateway: Option<ObjectKey>,
}

/// All of an object that somebody else could have changed; a new status is no change.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Content {
    /// A hash of all but the number of pods.
    mark: u64,
    /// Where an autoscaler has it, it is none of ours.
    replicas: Option<i64>,
}

impl Infrastructure {
    /// What it applies is known by its `controllerName`. The writer itself runs in [`Infrastructure::run`].
    pub(crate) fn new(
        client: Client,
        controller: String,
        leader: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
        troubles: mpsc::UnboundedSender<Trouble>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<ObjectKey>) {
        let (queue, work) = mpsc::unbounded_channel();
        (Arc::new(Self { state: Mutex::default(), queue, client, controller, leader, metrics, troubles }), work)
    }

    /// What a Gateway needs; `None`: nothing any more.
    pub(crate) fn want(&self, gateway: &ObjectKey, infra: Option<Infra>) {
        let mut state = self.state.lock();
        state.wanted.insert(gateway.clone(), infra.map(Arc::new));
        state.failures.remove(gateway);
        self.enqueue(&mut state, gateway);
    }

    /// An owned object as the API server has it.
    pub(crate) fn saw(&self, kind: &'static str, seen: Owned) {
        let mut state = self.state.lock();
        let (id, gateway) = ((kind.to_owned(), seen.key), seen.live.gateway.clone());
        // As it is when it was applied anew, by us or by the replica that leads, it is right: whatever it becomes afterwards is drift.
        let known = state.live.get(&id).and_then(|live| live.applied.clone());
        if seen.live.applied.is_some() && known != seen.live.applied {
            state.written.insert(id.clone(), seen.live.content);
        }
        state.live.insert(id, seen.live);
        gateway.iter().for_each(|gateway| self.enqueue(&mut state, gateway));
    }

    /// An owned object is gone: if it is wanted, it is made again.
    pub(crate) fn gone(&self, kind: &'static str, key: &ObjectKey) {
        let mut state = self.state.lock();
        let id = (kind.to_owned(), key.clone());
        state.written.remove(&id);
        if let Some(gateway) = state.live.remove(&id).and_then(|live| live.gateway) {
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
        let this = &self;
        UnboundedReceiverStream::new(work).for_each_concurrent(WRITERS, |gateway| async move { this.settle(gateway).await }).await;
    }

    async fn settle(self: &Arc<Self>, gateway: ObjectKey) {
        let (missing, surplus) = self.steps(&gateway);
        let mut failed = None;
        for object in missing {
            let kind = object.kind.clone();
            if let Err(error) = self.apply(&gateway, object).await {
                failed.get_or_insert(format!("{kind}: {error:#}"));
            }
        }
        for id in surplus {
            if let Err(error) = self.delete(&id).await {
                failed.get_or_insert(format!("{}: {error:#}", id.0));
            }
        }
        self.settled(gateway, failed);
    }

    /// A failure is said of the Gateway, and tried again after a pause that takes nobody else's turn.
    fn settled(self: &Arc<Self>, gateway: ObjectKey, failed: Option<String>) {
        let mut state = self.state.lock();
        let Some(why) = failed else {
            if state.failures.remove(&gateway).is_some() {
                let _ = self.troubles.send(Trouble { gateway, why: None });
            }
            return;
        };
        let times = state.failures.entry(gateway.clone()).or_default();
        let pause = RETRY.saturating_mul(1 << (*times).min(10)).min(LONGEST_RETRY);
        *times += 1;
        if *times == 1 {
            tracing::warn!(gateway.name = %gateway, error = why, "what runs for a Gateway could not be applied, trying again");
        }
        let _ = self.troubles.send(Trouble { gateway: gateway.clone(), why: Some(why) });
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            this.enqueue(&mut this.state.lock(), &gateway);
        });
    }

    /// What to write and what to delete.
    fn steps(&self, gateway: &ObjectKey) -> (Vec<InfraObject>, Vec<Id>) {
        let mut state = self.state.lock();
        state.queued.remove(gateway);
        let Some(wanted) = state.wanted.get(gateway).cloned().filter(|_| *self.leader.borrow()) else {
            return (Vec::new(), Vec::new());
        };
        let mut objects = wanted.as_ref().map(|infra| infra.objects()).unwrap_or_default();
        objects.iter_mut().for_each(|object| annotate(&mut object.value, CONTROLLER, &self.controller));
        let ids: Option<BTreeSet<Id>> = wanted.as_ref().map(|_| objects.iter().map(id).collect());
        let surplus = state.surplus(gateway, ids.as_ref(), &self.controller);
        if wanted.is_none() && surplus.is_empty() {
            state.wanted.remove(gateway);
        }
        (objects.into_iter().filter(|object| state.differs(object)).collect(), surplus)
    }

    async fn apply(&self, gateway: &ObjectKey, object: InfraObject) -> anyhow::Result<()> {
        let id = id(&object);
        let Some(resource) = resource_of(&object.kind) else { return Ok(()) };
        let api = self.api(&resource, &object.namespace);
        let applied = fingerprint(&object.value);
        let before = self.state.lock().live.get(&id).cloned();
        if before.is_none() {
            self.check_free(&api, &object).await?;
        }
        // The same once more lets go of nothing.
        if replicas::are_left_out(&object) && before.is_none_or(|live| live.applied.as_ref() != Some(&applied)) {
            self.keep_replicas(&api, &object.name).await?;
        }
        let mut value = object.value;
        annotate(&mut value, APPLIED, &applied);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch(&object.name, &params, &Patch::Apply(&value)).await;
        self.count(&id.0, written.is_ok());
        match written {
            Ok(manifest) => {
                let Owned { live, .. } = Owned::of(manifest);
                let mut state = self.state.lock();
                state.written.insert(id.clone(), live.content);
                state.live.insert(id, Live { gateway: Some(gateway.clone()), ..live });
                Ok(())
            }
            // A namespace that is being deleted takes nothing new; its Gateway goes as well.
            Err(kube::Error::Api(status)) if status.code == 404 || status.message.contains("being terminated") => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the name is free, or ours: applying by force would take over whatever has it.
    async fn check_free(&self, api: &Api<Manifest>, object: &InfraObject) -> anyhow::Result<()> {
        let found = api.get_metadata_opt(&object.name).await.context("looking for an object of that name")?;
        let uid = object.value.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
        let owners = found.iter().flat_map(|found| found.metadata.owner_references.iter().flatten());
        let is_ours = owners.into_iter().any(|owner| owner.controller == Some(true) && Some(owner.uid.as_str()) == uid);
        anyhow::ensure!(
            found.is_none() || is_ours,
            "{} {}/{} exists and is not this Gateway's: rename or delete it, or give the Gateway another name",
            object.kind,
            object.namespace,
            object.name
        );
        Ok(())
    }

    /// An autoscaler has the number of pods from now on, and it stays what it is until the autoscaler says otherwise. Not by force: who has
    /// changed it just now has it already, and the next try sees that.
    async fn keep_replicas(&self, api: &Api<Manifest>, name: &str) -> anyhow::Result<()> {
        let live = api.get_opt(name).await.context("looking for the number of pods")?;
        let Some(kept) = live.as_ref().and_then(replicas::kept) else { return Ok(()) };
        let written = api.patch(name, &PatchParams::apply(replicas::KEEPER), &Patch::Apply(&kept)).await;
        self.count("Deployment", written.is_ok());
        written.map(drop).context("keeping the number of pods for the autoscaler")
    }

    /// Something that the Gateway no longer needs, such as an autoscaler.
    async fn delete(&self, id: &Id) -> anyhow::Result<()> {
        let Some(resource) = resource_of(&id.0) else { return Ok(()) };
        let uid = self.state.lock().live.get(id).and_then(|live| live.uid.clone());
        let params = DeleteParams { preconditions: Some(Preconditions { uid, resource_version: None }), ..DeleteParams::background() };
        let deleted = self.api(&resource, &id.1.namespace).delete(&id.1.name, &params).await;
        let gone = matches!(&deleted, Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409));
        self.count(&id.0, deleted.is_ok() || gone);
        if deleted.is_ok() || gone {
            self.state.lock().live.remove(id);
            return Ok(());
        }
        deleted.map(|_| ()).context("deleting what the Gateway no longer needs")
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

    /// What runs for a Gateway and is not to. `wanted` is `None` for one that is not ours: what was not applied under our name stays.
    fn surplus(&self, gateway: &ObjectKey, wanted: Option<&BTreeSet<Id>>, controller: &str) -> Vec<Id> {
        let owned = self.live.iter().filter(|(_, live)| live.gateway.as_ref() == Some(gateway));
        let goes = |id: &Id, live: &Live| match wanted {
            // A Gateway without a listener that works keeps its Service: its address would go with it.
            Some(wanted) => !wanted.contains(id) && id.0 != "Service",
            None => live.controller.as_deref() == Some(controller),
        };
        owned.filter(|(id, live)| goes(id, live)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether an object is missing, was applied otherwise, or was changed by somebody since.
    fn differs(&self, object: &InfraObject) -> bool {
        let id = id(object);
        let Some(live) = self.live.get(&id) else { return true };
        let touched = self.written.get(&id).is_some_and(|written| match replicas::are_left_out(object) {
            true => written.mark != live.content.mark,
            false => *written != live.content,
        });
        touched || live.applied.as_deref() != Some(fingerprint(&object.value).as_str())
    }
}

fn resource_of(kind: &str) -> Option<ApiResource> {
    OWNED.iter().find(|owned| owned.2 == kind).map(|owned| owned_resource(*owned))
}

fn id(object: &InfraObject) -> Id {
    (object.kind.clone(), ObjectKey::new(&object.namespace, &object.name))
}

/// An owned object as the API server has it, as far as that matters here.
#[derive(Debug)]
pub(crate) struct Owned {
    key: ObjectKey,
    live: Live,
}

impl Owned {
    pub(crate) fn of(mut manifest: Manifest) -> Self {
        let replicas = replicas::take(&mut manifest);
        let metadata = &manifest.metadata;
        let annotation = |name: &str| metadata.annotations.as_ref().and_then(|annotations| annotations.get(name)).cloned();
        let live = Live {
            uid: metadata.uid.clone(),
            applied: annotation(APPLIED),
            controller: annotation(CONTROLLER),
            content: Content { mark: mark(&manifest), replicas },
            gateway: owner(metadata),
        };
        Self { key: ObjectKey::of(metadata), live }
    }
}

fn mark(manifest: &Manifest) -> u64 {
    let mut hash = DefaultHasher::new();
    let ObjectMeta { labels, annotations, .. } = &manifest.metadata;
    (labels, annotations).hash(&mut hash);
    for (field, value) in manifest.rest.iter().filter(|(field, _)| *field != "status") {
        (field, value.to_string()).hash(&mut hash);
    }
    hash.finish()
}

fn owner(metadata: &ObjectMeta) -> Option<ObjectKey> {
    let is_gateway = |owner: &&OwnerReference| owner.kind == "Gateway" && owner.api_version.starts_with("gateway.networking.k8s.io/");
    let owner = metadata.owner_references.as_ref()?.iter().filter(is_gateway).find(|owner| owner.controller == Some(true))?;
    Some(ObjectKey::new(metadata.namespace.clone()?, &owner.name))
}

fn fingerprint(value: &Value) -> String {
    Sha256::digest(value.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn annotate(value: &mut Value, name: &str, text: &str) {
    let annotations = value.get_mut("metadata").and_then(Value::as_object_mut).map(|metadata| metadata.entry("annotations"));
    if let Some(annotations) = annotations.map(|entry| entry.or_insert_with(|| json!({}))).and_then(Value::as_object_mut) {
        annotations.insert(name.to_owned(), json!(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_what_was_applied_without_touching_other_annotations() {
        let mut value = json!({ "metadata": { "annotations": { "a": "b" } } });
        annotate(&mut value, APPLIED, "f");
        assert_eq!(value, json!({ "metadata": { "annotations": { "a": "b", APPLIED: "f" } } }));
        let mut bare = json!({ "metadata": {} });
        annotate(&mut bare, APPLIED, "f");
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

    /// Objects of Gateway `ns/gw`: a Deployment and a Service of ours, a ConfigMap of another Keyward, an autoscaler without a name.
    fn state() -> State {
        let one = |kind: &str, controller: Option<&str>| {
            let mut value = json!({ "metadata": { "namespace": "ns", "name": "gw-own", "ownerReferences": [
                { "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "gw", "uid": "u", "controller": true }] } });
            controller.iter().for_each(|controller| annotate(&mut value, CONTROLLER, controller));
            let Owned { key, live } = Owned::of(serde_json::from_value(value).unwrap());
            ((kind.to_owned(), key), live)
        };
        let live = [
            one("ConfigMap", Some("example.com/other")),
            one("Deployment", Some("us")),
            one("HorizontalPodAutoscaler", None),
            one("Service", Some("us")),
        ];
        State { live: live.into(), ..State::default() }
    }

    fn surplus(gateway: &str, wanted: Option<&[&str]>) -> Vec<String> {
        let id = |kind: &&str| ((*kind).to_owned(), ObjectKey::new("ns", "gw-own"));
        let wanted: Option<BTreeSet<Id>> = wanted.map(|kinds| kinds.iter().map(id).collect());
        let ids = state().surplus(&ObjectKey::new("ns", gateway), wanted.as_ref(), "us");
        ids.into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn deletes_of_a_gateway_that_is_not_ours_what_we_applied_and_nothing_else() {
        assert_eq!(surplus("gw", None), ["Deployment", "Service"]);
        assert!(surplus("other", None).is_empty());
    }

    #[test]
    fn deletes_of_our_gateway_what_it_no_longer_needs_but_never_its_address() {
        assert_eq!(surplus("gw", Some(&["ConfigMap", "Deployment"])), ["HorizontalPodAutoscaler"]);
    }

    #[test]
    fn a_number_of_pods_is_drift_only_where_it_is_ours() {
        let object = |spec: Value| InfraObject {
            kind: "Deployment".to_owned(),
            namespace: "ns".to_owned(),
            name: "gw".to_owned(),
            value: json!({ "metadata": {}, "spec": spec }),
        };
        // Applied with three pods; then somebody has set what the object has now.
        let differs = |wanted: &InfraObject, now: Value| {
            let annotations = json!({ APPLIED: fingerprint(&wanted.value) });
            let live = |spec: Value| {
                let metadata = json!({ "namespace": "ns", "name": "gw", "annotations": annotations });
                Owned::of(serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()).live
            };
            let written = live(json!({ "replicas": 3, "paused": false })).content;
            State { live: [(id(wanted), live(now))].into(), written: [(id(wanted), written)].into(), ..State::default() }.differs(wanted)
        };
        let (autoscaled, ours) = (object(json!({})), object(json!({ "replicas": 3 })));
        let more = json!({ "replicas": 4, "paused": false });
        assert!(!differs(&autoscaled, more.clone()));
        assert!(differs(&ours, more));
        for wanted in [&autoscaled, &ours] {
            assert!(!differs(wanted, json!({ "replicas": 3, "paused": false })));
            assert!(differs(wanted, json!({ "replicas": 3, "paused": true })));
        }
    }
}

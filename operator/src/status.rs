//! Status writes: what is wanted against what is live, object by object. Nothing is written that is there already, nothing while another
//! replica leads, and never over what changed meanwhile: each write names the version that it was made from.
//!
//! It is a merge patch and not a server-side apply: `status.parents` is one atomic list to the API server, so that an apply would take the
//! entries of other controllers with it.

mod merge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use translate::{Kind, ObjectKey, Status, Timestamp};

use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::reading::resource;
use merge::{Merged, Shape, merge};

/// Writes at a time: the API server takes about so many side by side before they only wait for each other.
const WRITERS: usize = 8;
/// Counts of attached routes are written at most so often per Gateway: a thousand routes must not be a thousand writes.
const COUNTS: Duration = Duration::from_millis(600);
const RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The name under which the API server knows our writes.
pub(crate) const FIELD_MANAGER: &str = "keyward-operator";

type Id = (Kind, ObjectKey);

/// All statuses of ours, wanted and live.
pub(crate) struct Statuses {
    slots: Mutex<BTreeMap<Id, Slot>>,
    queue: mpsc::UnboundedSender<Id>,
    client: Client,
    identity: Reporter,
    leader: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
}

/// Who says what statuses say.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    /// `controllerName`.
    pub(crate) controller: String,
    /// Where the operator runs.
    pub(crate) namespace: String,
}

#[derive(Default)]
struct Slot {
    live: Option<Live>,
    /// JSON text: small, and needed only to compare.
    wanted: Option<Box<str>>,
    queued: bool,
    /// When it was last written, and how many times in a row without being right afterwards.
    written: Option<Instant>,
    writes: u32,
}

/// What the API server has.
struct Live {
    version: String,
    status: Box<str>,
}

/// What to do about an object.
enum Step {
    Nothing,
    Later(Duration),
    Write { version: String, patch: Value },
}

impl Statuses {
    /// The writer itself runs in [`Statuses::run`].
    pub(crate) fn new(
        client: Client,
        identity: Reporter,
        leader: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<(Kind, ObjectKey)>) {
        let (queue, work) = mpsc::unbounded_channel();
        (Arc::new(Self { slots: Mutex::default(), queue, client, identity, leader, metrics }), work)
    }

    /// An object as the API server has it.
    pub(crate) fn saw(&self, kind: Kind, key: &ObjectKey, version: Option<String>, status: Option<Box<str>>) {
        let Some(version) = version else { return };
        let mut slots = self.slots.lock();
        let slot = slots.entry((kind, key.clone())).or_default();
        if slot.live.as_ref().is_some_and(|live| is_older(&version, &live.version)) {
            return;
        }
        slot.live = Some(Live { version, status: status.unwrap_or_else(|| "null".into()) });
        self.enqueue(slot, (kind, key.clone()));
    }

    /// An object is gone.
    pub(crate) fn gone(&self, kind: Kind, key: &ObjectKey) {
        self.slots.lock().remove(&(kind, key.clone()));
    }

    /// What an object's status is to say; `None`: nothing of ours any more.
    pub(crate) fn want(&self, kind: Kind, key: &ObjectKey, status: Option<&Status>) {
        let wanted = status.and_then(|status| encode(status, &self.identity.namespace));
        let mut slots = self.slots.lock();
        let id = (kind, key.clone());
        if wanted.is_none() || says_nothing(status) {
            // What is gone, or never was ours, takes no room.
            let Some(slot) = slots.get_mut(&id) else { return };
            slot.wanted = wanted.filter(|_| slot.live.is_some());
            slot.writes = 0;
            self.enqueue(slot, id);
            return;
        }
        let slot = slots.entry(id.clone()).or_default();
        slot.wanted = wanted;
        slot.writes = 0;
        self.enqueue(slot, id);
    }

    /// Everything that exists was seen and judged: what nothing was said of, and has something of ours all the same, ceased to be ours while
    /// nobody looked.
    pub(crate) fn sweep(&self) {
        let mut slots = self.slots.lock();
        for (id, slot) in slots.iter_mut().filter(|(_, slot)| slot.wanted.is_none()) {
            let nothing = slot.live.as_ref().and_then(|live| retraction(id.0, &live.status, &self.identity));
            if let Some(nothing) = nothing {
                slot.wanted = Some(nothing.to_string().into_boxed_str());
                self.enqueue(slot, id.clone());
            }
        }
    }

    fn enqueue(&self, slot: &mut Slot, id: Id) {
        if !slot.queued && slot.wanted.is_some() && slot.live.is_some() && *self.leader.borrow() {
            slot.queued = true;
            let _ = self.queue.send(id);
        }
    }

    /// Writes until there is nobody left who could want anything. A new leader looks at everything once.
    pub(crate) async fn run(self: Arc<Self>, work: mpsc::UnboundedReceiver<Id>) {
        let mut leader = self.leader.clone();
        let fresh = Arc::clone(&self);
        tokio::spawn(async move {
            while leader.changed().await.is_ok() {
                fresh.look_again();
            }
        });
        let this = &self;
        UnboundedReceiverStream::new(work).for_each_concurrent(WRITERS, |id| async move { this.settle(id).await }).await;
    }

    fn look_again(&self) {
        for (id, slot) in self.slots.lock().iter_mut() {
            self.enqueue(slot, id.clone());
        }
    }

    async fn settle(self: &Arc<Self>, id: Id) {
        let again = match self.step(&id) {
            Step::Nothing => None,
            Step::Later(pause) => Some(pause),
            Step::Write { version, patch } => self.write(&id, &version, patch).await,
        };
        self.free(id, again);
    }

    /// An object can be queued again: at once, when it changes, or after a pause that takes nobody else's turn.
    fn free(self: &Arc<Self>, id: Id, again: Option<Duration>) {
        let Some(pause) = again.filter(|pause| !pause.is_zero()) else {
            if let Some(slot) = self.slots.lock().get_mut(&id) {
                slot.queued = false;
                if again.is_some() {
                    self.enqueue(slot, id);
                }
            }
            return;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            this.free(id, Some(Duration::ZERO));
        });
    }

    fn step(&self, id: &Id) -> Step {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(id) else { return Step::Nothing };
        let (Some(live), Some(wanted), true) = (&slot.live, &slot.wanted, *self.leader.borrow()) else { return Step::Nothing };
        let (Ok(before), Ok(ours)) = (serde_json::from_str(&live.status), serde_json::from_str(wanted)) else { return Step::Nothing };
        let Some(Merged { status, only_counts }) = merge(shape(id.0), &before, &ours, &self.identity.controller, Timestamp::now()) else {
            slot.writes = 0;
            return Step::Nothing;
        };
        let now = Instant::now();
        let since = slot.written.map(|at| now.duration_since(at)).unwrap_or(LONGEST_RETRY);
        let pause = if only_counts { COUNTS.max(patience(slot.writes)) } else { patience(slot.writes) };
        if let Some(wait) = pause.checked_sub(since).filter(|wait| !wait.is_zero()) {
            return Step::Later(wait);
        }
        slot.written = Some(now);
        slot.writes += 1;
        let Some(patch) = difference(&before, &status) else { return Step::Nothing };
        Step::Write { version: live.version.clone(), patch }
    }

    /// Gives the pause after which to look again, if that is needed.
    async fn write(&self, id: &Id, version: &str, patch: Value) -> Option<Duration> {
        let (kind, key) = id;
        let api = api(&self.client, *kind, key);
        let body = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "status": patch }));
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let written = api.patch_status(&key.name, &params, &body).await;
        let result = match &written {
            Ok(_) => "ok",
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => "conflict",
            Err(_) => "error",
        };
        self.metrics.status_writes.with_label_values(&[kind.as_str(), result]).inc();
        match written {
            Ok(mut manifest) => {
                let version = manifest.metadata.resource_version.take();
                let status = manifest.take_status();
                self.wrote(id, version, status);
                Some(Duration::ZERO)
            }
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            // The watch brings the newer object; if it already has, look at once.
            Err(kube::Error::Api(status)) if status.code == 409 => self.is_newer(id, version).then_some(Duration::ZERO),
            Err(error) => {
                tracing::warn!(object.kind = kind.as_str(), object.name = %key, %error, "a status could not be written, trying again");
                Some(RETRY)
            }
        }
    }

    fn is_newer(&self, id: &Id, version: &str) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(id) else { return false };
        // The write did not count: it changed nothing.
        slot.writes = slot.writes.saturating_sub(1);
        slot.live.as_ref().is_some_and(|live| live.version != version)
    }

    fn wrote(&self, id: &Id, version: Option<String>, status: Option<Box<str>>) {
        if let (Some(slot), Some(version)) = (self.slots.lock().get_mut(id), version)
            && slot.live.as_ref().is_none_or(|live| !is_older(&version, &live.version))
        {
            slot.live = Some(Live { version, status: status.unwrap_or_else(|| "null".into()) });
        }
    }
}

/// The pause before writing once more what was written so many times in a row: somebody else writes it otherwise, or the API server
/// keeps something else.
fn patience(writes: u32) -> Duration {
    match writes {
        0..=3 => Duration::ZERO,
        more => RETRY.saturating_mul(1 << (more - 3).min(10)).min(LONGEST_RETRY),
    }
}

/// Resource versions of one kind are numbers that grow.
fn is_older(one: &str, other: &str) -> bool {
    matches!((one.parse::<u64>(), other.parse::<u64>()), (Ok(one), Ok(other)) if one < other)
}

/// The merge patch that makes one of the other: fields that differ, and null for one that is no more. `None`: nothing does.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    let (Some(before), Some(fields)) = (before.as_object(), after.as_object()) else {
        return (before != after).then(|| after.clone());
    };
    let removed = before.keys().filter(|field| !fields.contains_key(*field)).map(|field| (field.clone(), Value::Null));
    let changed = fields.iter().filter_map(|(field, value)| match before.get(field) {
        Some(known) => Some((field.clone(), difference(known, value)?)),
        None => Some((field.clone(), value.clone())),
    });
    let patch: Map<String, Value> = changed.chain(removed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A route without a parent of ours, a policy without an ancestor.
fn says_nothing(status: Option<&Status>) -> bool {
    match status {
        Some(Status::Route(route)) => route.parents.is_empty(),
        Some(Status::Policy(policy)) => policy.ancestors.is_empty(),
        _ => false,
    }
}

/// What takes back what an earlier process said in a live status: entries of routes and policies, and all of an Upstream. `None`: there is
/// nothing. Whose word a status without names is, nobody can tell, so that of a Gateway or a ListenerSet stays.
fn retraction(kind: Kind, live: &str, us: &Reporter) -> Option<Value> {
    if let Some(list) = shape(kind).list() {
        return live.contains(&json!(us.controller).to_string()).then(|| json!({ list: [] }));
    }
    let namespace = us.namespace.as_str();
    let left = kind == Kind::Upstream && serde_json::from_str(live).is_ok_and(|live: Value| merge::reports(&live, namespace));
    left.then(|| json!({ "conditions": [], "statuses": { namespace: null } }))
}

fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Gateway | Kind::ListenerSet => Shape::Listeners,
        Kind::Route(_) => Shape::Parents,
        Kind::BackendTlsPolicy => Shape::Ancestors,
        _ => Shape::Conditions,
    }
}

/// Gloo's reports stand by the namespace of who reports (`status.statuses`).
fn encode(status: &Status, namespace: &str) -> Option<Box<str>> {
    let json = match status {
        Status::GatewayClass(status) => serde_json::to_string(status),
        Status::Gateway(status) => serde_json::to_string(status),
        Status::ListenerSet(status) => serde_json::to_string(status),
        Status::Route(status) => serde_json::to_string(status),
        Status::Policy(status) => serde_json::to_string(status),
        Status::Upstream(status) => {
            serde_json::to_string(&json!({ "conditions": status.conditions, "statuses": { namespace: status.gloo } }))
        }
    };
    json.map(String::into_boxed_str).inspect_err(|error| tracing::error!(%error, "a status cannot be encoded")).ok()
}

/// The API of an object's kind, in its namespace.
pub(crate) fn api(client: &Client, kind: Kind, key: &ObjectKey) -> Api<Manifest> {
    match key.namespace.as_str() {
        "" => Api::all_with(client.clone(), &resource(kind)),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_removes_what_is_no_more_at_every_depth_and_touches_nothing_else() {
        let before = json!({ "statuses": { "ns": { "state": "Rejected", "reason": "x" }, "other": { "state": "Accepted" } }, "list": [1] });
        let after = json!({ "statuses": { "ns": { "state": "Accepted" }, "other": { "state": "Accepted" } }, "list": [1] });
        let patch = difference(&before, &after).unwrap();
        assert_eq!(patch, json!({ "statuses": { "ns": { "state": "Accepted", "reason": null } } }));
        assert_eq!(difference(&after, &after), None);
        assert_eq!(difference(&Value::Null, &after), Some(after));
    }

    #[test]
    fn gives_up_hurrying_when_a_write_does_not_last() {
        assert_eq!(patience(3), Duration::ZERO);
        assert!(patience(4) > Duration::ZERO && patience(40) == LONGEST_RETRY);
    }

    #[test]
    fn takes_back_what_an_earlier_process_said_and_nothing_of_others() {
        let us = Reporter { controller: "keyward.dev/gateway-controller".to_owned(), namespace: "keyward-system".to_owned() };
        let taken = |kind: Kind, live: &Value| retraction(kind, &live.to_string(), &us);
        let nothing = Some(json!({ "conditions": [], "statuses": { "keyward-system": null } }));
        let report = json!({ "statuses": { "keyward-system": { "state": "Accepted", "reportedBy": "keyward" }, "gloo-system": {} } });
        assert_eq!(taken(Kind::Upstream, &report), nothing);
        assert_eq!(taken(Kind::Upstream, &json!({ "conditions": [{ "type": "InlineCredentials", "status": "True" }] })), nothing);
        for others in [
            json!({ "statuses": { "gloo-system": { "state": "Accepted", "reportedBy": "gloo" } } }),
            json!({ "statuses": { "keyward-system": { "state": "Accepted", "reportedBy": "gloo" } } }),
            json!({ "conditions": [{ "type": "Foreign", "status": "True" }], "statuses": {} }),
            Value::Null,
        ] {
            assert_eq!(taken(Kind::Upstream, &others), None, "{others}");
        }
        let route = Kind::Route(translate::RouteKind::Http);
        let parent = |controller: &str| json!({ "parents": [{ "controllerName": controller }] });
        assert_eq!(taken(route, &parent(&us.controller)), Some(json!({ "parents": [] })));
        assert_eq!(taken(route, &parent("example.com/other")), None);
        assert_eq!(taken(Kind::Gateway, &json!({ "conditions": [{ "type": "Accepted", "status": "True" }] })), None);
    }
}

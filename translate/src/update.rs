//! What was said last, and what differs since.

use std::collections::BTreeMap;

use policy::wire::Named;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::finding::Problem;
use crate::infra::Infra;
use crate::status::{GatewayClassStatus, GatewayStatus, ListenerSetStatus, PolicyStatus, RouteStatus, Statuses, UpstreamStatus};
use crate::{InlineCount, Kind, ObjectKey};

/// What differs from the last translation.
#[derive(Default)]
pub struct Update {
    /// By Gateway.
    pub configs: BTreeMap<ObjectKey, ConfigChange>,
    /// What each object's status is to say; `None`: the object is not ours any more. Times are all the same: whoever writes sets them.
    pub statuses: Vec<(Kind, ObjectKey, Option<Status>)>,
    /// What is to run for each Gateway; `None`: nothing, even if an earlier process let something run.
    pub infra: BTreeMap<ObjectKey, Option<Infra>>,
    /// Inline credentials by namespace and kind, where it is other than before; `None`: there are none any more.
    pub inline: BTreeMap<(String, Kind), Option<InlineCount>>,
    /// Objects whose problems are others than before; none: all is well.
    pub problems: BTreeMap<(Kind, ObjectKey), Vec<Problem>>,
}

/// A change of one Gateway's configuration.
pub enum ConfigChange {
    /// It has none any more.
    Gone,
    /// It has this now.
    Delta {
        /// New or changed resources.
        upsert: Vec<Named>,
        /// `kind/name` of those that are no more.
        remove: Vec<String>,
        /// Of its listeners and certificates.
        listeners_digest: String,
    },
}

/// The status of an object of ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Status {
    GatewayClass(GatewayClassStatus),
    Gateway(GatewayStatus),
    ListenerSet(ListenerSetStatus),
    Route(RouteStatus),
    Upstream(UpstreamStatus),
    Policy(PolicyStatus),
}

impl Update {
    /// Sorted by object; within one, in the order in which they were found.
    pub(crate) fn all_problems(&self) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.problems.values().flatten().cloned().collect();
        all.sort_by(|a, b| (&a.kind, &a.namespace, &a.name).cmp(&(&b.kind, &b.namespace, &b.name)));
        all
    }

    pub(crate) fn all_statuses(&self) -> Statuses {
        let mut all = Statuses::default();
        for (kind, key, status) in &self.statuses {
            let key = key.clone();
            match status.clone() {
                None => {}
                Some(Status::GatewayClass(status)) => drop(all.gateway_classes.insert(key.name, status)),
                Some(Status::Gateway(status)) => drop(all.gateways.insert(key, status)),
                Some(Status::ListenerSet(status)) => drop(all.listener_sets.insert(key, status)),
                Some(Status::Route(status)) => drop(all.routes_mut(*kind).map(|routes| routes.insert(key, status))),
                Some(Status::Upstream(status)) => drop(all.upstreams.insert(key, status)),
                Some(Status::Policy(status)) => drop(all.backend_tls_policies.insert(key, status)),
            }
        }
        all
    }

    pub(crate) fn all_infra(&self) -> BTreeMap<ObjectKey, Infra> {
        self.infra.iter().filter_map(|(gateway, infra)| Some((gateway.clone(), infra.clone()?))).collect()
    }
}

impl Status {
    /// What an object says that lost its last parent or ancestor of ours. `None`: a kind that has none.
    fn nothing(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Route(_) => Some(Self::Route(RouteStatus::default())),
            Kind::BackendTlsPolicy => Some(Self::Policy(PolicyStatus::default())),
            _ => None,
        }
    }
}

/// Kind and key of an object.
type Id = (Kind, ObjectKey);

/// Enough of what was said to know whether it is said again: half of a SHA-256.
type Mark = [u8; 16];

/// What was said last of each object.
#[derive(Default)]
pub(crate) struct Told {
    statuses: BTreeMap<Id, Mark>,
    problems: BTreeMap<Id, Mark>,
    /// By Gateway that exists; `None`: nothing is to run for it.
    infra: BTreeMap<ObjectKey, Option<Infra>>,
    inline: BTreeMap<(String, Kind), InlineCount>,
    update: Update,
}

impl Told {
    /// What differs since the last call.
    pub(crate) fn take_update(&mut self) -> Update {
        std::mem::take(&mut self.update)
    }

    pub(crate) fn config(&mut self, gateway: &ObjectKey, change: ConfigChange) {
        self.update.configs.insert(gateway.clone(), change);
    }

    /// Whether something was said of the object that is not taken back yet.
    pub(crate) fn speaks_of(&self, kind: Kind, key: &ObjectKey) -> bool {
        self.statuses.contains_key(&(kind, key.clone()))
    }

    /// `None`: the object is not ours any more.
    pub(crate) fn status(&mut self, kind: Kind, key: &ObjectKey, status: Option<Status>) {
        if replace(&mut self.statuses, (kind, key.clone()), status.as_ref().map(mark)) {
            // A route that lost its last parent of ours says so; one that is gone does not, and whoever writes knows which it is.
            let status = status.or_else(|| Status::nothing(kind));
            self.update.statuses.push((kind, key.clone(), status));
        }
    }

    pub(crate) fn problems(&mut self, kind: Kind, key: &ObjectKey, problems: Vec<Problem>) {
        let some = (!problems.is_empty()).then(|| mark(&problems));
        if replace(&mut self.problems, (kind, key.clone()), some) {
            self.update.problems.insert((kind, key.clone()), problems);
        }
    }

    /// What is to run for a Gateway. That it is nothing is said also of one of which nothing was said yet: an earlier process may have let
    /// something run for it.
    pub(crate) fn infra(&mut self, gateway: &ObjectKey, infra: Option<Infra>) {
        if replace(&mut self.infra, gateway.clone(), Some(infra.clone())) {
            self.update.infra.insert(gateway.clone(), infra);
        }
    }

    /// The name of what is to run for a Gateway, if that was said.
    pub(crate) fn account(&self, gateway: &ObjectKey) -> Option<ObjectKey> {
        self.infra.get(gateway)?.as_ref().map(Infra::service_account)
    }

    /// A Gateway is gone, and what runs for it goes with it.
    pub(crate) fn infra_gone(&mut self, gateway: &ObjectKey) {
        if self.infra.remove(gateway).flatten().is_some() {
            self.update.infra.insert(gateway.clone(), None);
        }
    }

    /// `None`: there are none.
    pub(crate) fn inline(&mut self, namespace: &str, kind: Kind, count: Option<InlineCount>) {
        let id = (namespace.to_owned(), kind);
        if replace(&mut self.inline, id.clone(), count) {
            self.update.inline.insert(id, count);
        }
    }
}

/// What cannot be encoded cannot be written as a status either.
fn mark(said: &impl Serialize) -> Mark {
    let hash = Sha256::digest(serde_json::to_vec(said).unwrap_or_default());
    std::array::from_fn(|nth| hash[nth])
}

/// Sets or drops a value; gives whether that changes anything.
fn replace<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    if map.get(&key) == value.as_ref() {
        return false;
    }
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
    true
}

//! ListenerSets of a Gateway: which may attach, and where their listeners are among all of the Gateway's.

use std::collections::BTreeMap;
use std::ops::Range;

use gateway_api::experimental::gateways as api;

use super::allowed::AllowedNamespaces;
use super::listener::{self, Holder, Listener};
use crate::finding::{Aspect, Finding, Findings};
use crate::index::Index;
use crate::{ListenerSet, ObjectKey};

pub(super) const PARENT: &str = "spec.parentRef";

/// A ListenerSet that refers to a Gateway of ours.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) generation: Option<i64>,
    /// About the ListenerSet itself; each listener has its own.
    pub(crate) findings: Findings,
    /// Its place in the Gateway's list; empty, unless it may attach.
    pub(super) at: Range<usize>,
}

impl Set {
    /// Whether the Gateway admits it.
    pub(crate) fn may_attach(&self) -> bool {
        self.findings.first(Aspect::Accepted).is_none()
    }
}

/// Appends the listeners of those that may attach, in the order of their precedence.
pub(super) fn merge(
    index: &Index<'_>,
    gateway: &ObjectKey,
    spec: &api::GatewaySpec,
    admitted: &AllowedNamespaces,
    listeners: &mut Vec<Listener>,
) -> BTreeMap<ObjectKey, Set> {
    let mut given = index.sets_of(gateway);
    given.sort_by_cached_key(|set| set.age());
    let mut sets = BTreeMap::new();
    for one in given {
        let key = one.key();
        let mut set = Set { generation: one.metadata.generation, findings: Findings::default(), at: 0..0 };
        set.findings.extend(refusal(index, gateway, &key, admitted));
        if set.may_attach() {
            let first = listeners.len();
            listeners.extend(listener::judge_all(index, (gateway, spec), &Holder::Set(key.clone()), &one.spec.listeners));
            set.at = first..listeners.len();
        }
        sets.insert(key, set);
    }
    sets
}

fn refusal(index: &Index<'_>, gateway: &ObjectKey, set: &ObjectKey, admitted: &AllowedNamespaces) -> Option<Finding> {
    let labels = index.namespace_labels(&set.namespace);
    if admitted.admits(&gateway.namespace, &set.namespace, &labels) {
        return None;
    }
    let message = format!(
        "Gateway {gateway} admits no ListenerSet from namespace {}: its owner may say otherwise in spec.allowedListeners",
        set.namespace
    );
    Some(Finding::accepted(PARENT, "NotAllowed", message))
}

/// A ListenerSet without a Gateway has nobody who could say so in its status.
pub(crate) fn without_gateway(set: &ListenerSet) -> Finding {
    let message = match set.gateway() {
        Some(gateway) => format!("Gateway {gateway} does not exist: create it, or correct the reference"),
        None => "only a Gateway can have ListenerSets: refer to one".to_owned(),
    };
    Finding::accepted(PARENT, "ParentNotAccepted", message)
}

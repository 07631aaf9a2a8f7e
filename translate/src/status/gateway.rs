//! Statuses of Gateways and of listeners.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::programmed::missing;
use super::{GatewayStatus, ListenerSetStatus, ListenerStatus, RouteGroupKind, Stamp, listener_set};
use crate::Proxies;
use crate::finding::Aspect;
use crate::gateway::{Gateway, Listener, Set};
use crate::grant::GATEWAY_GROUP;
use crate::roster::Roster;

/// A Gateway with what is known of it besides.
pub(crate) struct View<'v> {
    pub(crate) gateway: &'v Gateway,
    /// Counts the routes of its listeners.
    pub(crate) roster: Option<&'v Roster>,
    pub(crate) proxies: Option<&'v Proxies>,
    /// Of what its proxies are to have.
    pub(crate) digest: Option<&'v String>,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    pub(crate) fn gateway_status(&self) -> GatewayStatus {
        let (gateway, missing) = (self.gateway, self.missing());
        let stamp = Stamp { now: self.now, generation: gateway.generation };
        let listeners = self.listeners(stamp, gateway.own_listeners(), missing.as_ref());
        let attached = gateway.sets.values().filter(|set| listener_set::is_attached(gateway, set)).count();
        let attached = (!gateway.sets.is_empty()).then(|| i32::try_from(attached).unwrap_or(i32::MAX));
        let mut conditions = vec![accepted(stamp, gateway), programmed(stamp, gateway, missing)];
        conditions.extend(gateway.has_refs.then(|| stamp.judged(&gateway.findings, Aspect::ResolvedRefs)));
        conditions.extend(gateway.is_insecure.then(|| insecure(stamp)));
        let addresses = gateway.addresses.clone().unwrap_or_default();
        GatewayStatus { conditions, addresses, listeners, attached_listener_sets: attached }
    }

    /// The status of one of its ListenerSets.
    pub(crate) fn set_status(&self, set: &Set) -> ListenerSetStatus {
        listener_set::of_view(self, set)
    }

    /// Why it is not programmed yet.
    pub(super) fn missing(&self) -> Option<Missing> {
        missing(self.gateway, self.proxies, self.digest)
    }

    pub(super) fn listeners(&self, stamp: Stamp, listeners: &[Listener], missing: Option<&Missing>) -> Vec<ListenerStatus> {
        let attached = |listener: &Listener| self.roster.map(|roster| roster.attached(&listener.name)).unwrap_or_default();
        let status = |one| ListenerStatus { attached_routes: attached(one), ..listener_status(stamp, self.gateway, one, missing) };
        listeners.iter().map(status).collect()
    }
}

/// With some listeners invalid the Gateway is accepted all the same, with a reason that says so (`GatewayReasonListenersNotValid`).
fn accepted(stamp: Stamp, gateway: &Gateway) -> Condition {
    let own = gateway.own_listeners();
    let invalid: Vec<&str> = own.iter().filter(|listener| !listener.is_sound()).map(|listener| listener.section.as_str()).collect();
    if !gateway.is_accepted() || (invalid.is_empty() && !own.is_empty()) {
        return stamp.judged(&gateway.findings, Aspect::Accepted);
    }
    let any_valid = gateway.listeners.iter().any(Listener::is_sound);
    let message = match own.is_empty() {
        true => "the Gateway has no listeners: add one".to_owned(),
        false => format!("not valid, see status.listeners: {}", invalid.join(", ")),
    };
    stamp.condition("Accepted", any_valid, "ListenersNotValid", message)
}

/// Whether anything is served.
fn programmed(stamp: Stamp, gateway: &Gateway, missing: Option<Missing>) -> Condition {
    match (gateway.served().next().filter(|_| gateway.is_accepted()), missing) {
        (Some(_), None) => stamp.condition("Programmed", true, "Programmed", ""),
        (Some(_), Some((reason, message))) => stamp.condition("Programmed", false, reason, message),
        (None, _) => stamp.condition(
            "Programmed",
            false,
            "Invalid",
            "no listener can be served: see the conditions of the Gateway and its listeners",
        ),
    }
}

/// "This condition is removed as soon as FrontendValidationModeType is changed back to `AllowValidOnly`"
/// (GatewayConditionInsecureFrontendValidationMode).
fn insecure(stamp: Stamp) -> Condition {
    let message = "clients without a valid certificate are let in, on the ports whose validation has mode AllowInsecureFallback";
    stamp.condition("InsecureFrontendValidationMode", true, "ConfigurationChanged", message)
}

/// Why the Gateway is not programmed: reason and message.
pub(super) type Missing = (&'static str, String);

fn listener_status(stamp: Stamp, gateway: &Gateway, listener: &Listener, missing: Option<&Missing>) -> ListenerStatus {
    let kind = |kind: &crate::model::RouteKind| RouteGroupKind { group: GATEWAY_GROUP.to_owned(), kind: kind.as_str().to_owned() };
    ListenerStatus {
        name: listener.section.clone(),
        supported_kinds: listener.kinds.iter().map(kind).collect(),
        attached_routes: 0,
        conditions: vec![
            listener_accepted(stamp, listener),
            conflicted(stamp, listener),
            stamp.judged(&listener.findings, Aspect::ResolvedRefs),
            listener_programmed(stamp, gateway, listener, missing),
        ],
    }
}

/// A listener in conflict is not accepted, for the reason of the conflict.
fn listener_accepted(stamp: Stamp, listener: &Listener) -> Condition {
    match listener.findings.failing(Aspect::Conflicted) {
        Some((reason, message)) => stamp.condition("Accepted", false, reason, message),
        None => stamp.judged(&listener.findings, Aspect::Accepted),
    }
}

fn conflicted(stamp: Stamp, listener: &Listener) -> Condition {
    match listener.findings.failing(Aspect::Conflicted) {
        Some((reason, message)) => stamp.condition("Conflicted", true, reason, message),
        None => stamp.condition("Conflicted", false, "NoConflicts", ""),
    }
}

fn listener_programmed(stamp: Stamp, gateway: &Gateway, listener: &Listener, missing: Option<&Missing>) -> Condition {
    match (gateway.is_accepted() && listener.served().is_some(), missing) {
        (true, None) => stamp.condition("Programmed", true, "Programmed", ""),
        // A listener has no reason of its own for an address that is missing.
        (true, Some((_, message))) => stamp.condition("Programmed", false, "Pending", message.clone()),
        (false, _) => match listener.findings.first(Aspect::Conflicted) {
            Some(conflict) => stamp.condition("Programmed", false, conflict.reason, conflict.message.clone()),
            None => {
                stamp.condition("Programmed", false, "Invalid", "the listener is not served: see its other conditions and the Gateway's")
            }
        },
    }
}

//! Statuses of Gateways and their listeners.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::programmed::missing;
use super::{GatewayStatus, ListenerStatus, RouteGroupKind, Stamp};
use crate::Proxies;
use crate::finding::Aspect;
use crate::gateway::{Gateway, Listener};
use crate::grant::GATEWAY_GROUP;

/// `attached` counts the routes of a listener; `digest` is of what the Gateway's proxies are to have.
pub(crate) fn gateway_status(
    gateway: &Gateway,
    attached: impl Fn(&str) -> i32,
    proxies: Option<&Proxies>,
    digest: Option<&String>,
    now: Timestamp,
) -> GatewayStatus {
    let stamp = Stamp { now, generation: gateway.generation };
    let missing = missing(gateway, proxies, digest);
    let listener = |one| ListenerStatus { attached_routes: attached(name(one)), ..listener_status(stamp, gateway, one, missing.as_ref()) };
    let listeners = gateway.listeners.iter().map(listener).collect();
    let mut conditions = vec![accepted(stamp, gateway), programmed(stamp, gateway, missing)];
    conditions.extend(gateway.has_refs.then(|| stamp.judged(&gateway.findings, Aspect::ResolvedRefs)));
    conditions.extend(gateway.is_insecure.then(|| insecure(stamp)));
    GatewayStatus { conditions, addresses: gateway.addresses.clone().unwrap_or_default(), listeners }
}

fn name(listener: &Listener) -> &str {
    &listener.name
}

/// With some listeners invalid the Gateway is accepted all the same, with a reason that says so (`GatewayReasonListenersNotValid`).
fn accepted(stamp: Stamp, gateway: &Gateway) -> Condition {
    let invalid: Vec<&str> = gateway.listeners.iter().filter(|listener| !listener.is_sound()).map(name).collect();
    if !gateway.is_accepted() || (invalid.is_empty() && !gateway.listeners.is_empty()) {
        return stamp.judged(&gateway.findings, Aspect::Accepted);
    }
    let any_valid = invalid.len() < gateway.listeners.len();
    let message = match gateway.listeners.is_empty() {
        true => "the Gateway has no listeners: add one".to_owned(),
        false => format!("not valid, see status.listeners: {}", invalid.join(", ")),
    };
    stamp.condition("Accepted", any_valid, "ListenersNotValid", message)
}

/// Whether anything is served.
fn programmed(stamp: Stamp, gateway: &Gateway, missing: Option<(&'static str, String)>) -> Condition {
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
type Missing = (&'static str, String);

fn listener_status(stamp: Stamp, gateway: &Gateway, listener: &Listener, missing: Option<&Missing>) -> ListenerStatus {
    let kind = |kind: &crate::model::RouteKind| RouteGroupKind { group: GATEWAY_GROUP.to_owned(), kind: kind.as_str().to_owned() };
    ListenerStatus {
        name: listener.name.clone(),
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
    match (listener.findings.failing(Aspect::Accepted), listener.findings.failing(Aspect::Conflicted)) {
        (None, Some((reason, message))) => stamp.condition("Accepted", false, reason, message),
        _ => stamp.judged(&listener.findings, Aspect::Accepted),
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

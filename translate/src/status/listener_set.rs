//! Statuses of ListenerSets. They stand and fall with their Gateway.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::gateway::View;
use super::{ListenerSetStatus, Stamp};
use crate::finding::Aspect;
use crate::gateway::{Gateway, Listener, Set};

/// Why a ListenerSet is not accepted: the reasons of `Accepted` and of `Programmed`, and the message.
type Refusal = (&'static str, &'static str, String);

pub(super) fn of_view(view: &View<'_>, set: &Set) -> ListenerSetStatus {
    let (gateway, missing) = (view.gateway, view.missing());
    let stamp = Stamp { now: view.now, generation: set.generation };
    let listeners = gateway.listeners_of_set(set);
    let conditions = match (refusal(gateway, set), &missing) {
        (Some((accepted, programmed, message)), _) => {
            vec![stamp.condition("Accepted", false, accepted, &message), stamp.condition("Programmed", false, programmed, message)]
        }
        (None, Some((_, why))) => vec![accepted(stamp, listeners), stamp.condition("Programmed", false, "ParentNotProgrammed", why)],
        (None, None) => vec![accepted(stamp, listeners), stamp.condition("Programmed", true, "Programmed", "")],
    };
    ListenerSetStatus { conditions, listeners: view.listeners(stamp, listeners, missing.as_ref()) }
}

/// Whether it counts as attached: "The ListenerSet's status has the condition "Accepted: true"" (GatewayStatus.attachedListenerSets).
pub(super) fn is_attached(gateway: &Gateway, set: &Set) -> bool {
    refusal(gateway, set).is_none()
}

fn refusal(gateway: &Gateway, set: &Set) -> Option<Refusal> {
    if let Some((reason, message)) = set.findings.failing(Aspect::Accepted) {
        return Some((reason, reason, message));
    }
    if !gateway.is_accepted() {
        let message = "the Gateway is not accepted: see its conditions".to_owned();
        return Some(("ParentNotAccepted", "ParentNotProgrammed", message));
    }
    let any = gateway.listeners_of_set(set).iter().any(is_valid);
    (!any).then(|| ("ListenersNotValid", "ListenersNotValid", "no listener can be served: see status.listeners".to_owned()))
}

/// "True" also with some invalid listeners, with a reason that says so (`ListenerSetReasonListenersNotValid`).
fn accepted(stamp: Stamp, listeners: &[Listener]) -> Condition {
    let invalid: Vec<&str> = listeners.iter().filter(|listener| !is_valid(listener)).map(|listener| listener.section.as_str()).collect();
    match invalid.is_empty() {
        true => stamp.condition("Accepted", true, "Accepted", ""),
        false => stamp.condition("Accepted", true, "ListenersNotValid", format!("not valid, see status.listeners: {}", invalid.join(", "))),
    }
}

/// One without a usable certificate will not do: the conformance suite wants it so (ListenerSetReferenceGrant).
fn is_valid(listener: &Listener) -> bool {
    listener.served().is_some()
}

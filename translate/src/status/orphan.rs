//! Statuses of Gateways and ListenerSets that were ours until their GatewayClass or their Gateway went: they are where they began, "when the
//! status is "Unknown" and no controller has reconciled the Gateway" (`GatewayReasonPending`, `ListenerSetReasonPending`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::{GatewayStatus, ListenerSetStatus, Stamp};
use crate::ListenerSet;
use crate::finding::{Finding, Problem};
use crate::gateway::Orphan;

/// What an orphan's proxies do: nobody tells them anything.
const GOES_ON: &str = "until then what runs for it stays as it was";

pub(crate) fn gateway_without_class(orphan: &Orphan, now: Timestamp) -> GatewayStatus {
    let conditions = pending(Stamp { now, generation: orphan.generation }, &format!("{}; {GOES_ON}", orphan.problem.message));
    GatewayStatus { conditions, addresses: orphan.addresses.clone(), listeners: Vec::new(), attached_listener_sets: None }
}

pub(crate) fn set_without_class(set: &ListenerSet, orphan: &Orphan, now: Timestamp) -> ListenerSetStatus {
    let Problem { namespace, name, message, .. } = &orphan.problem;
    pending_set(set, &format!("of Gateway {namespace}/{name}: {message}; {GOES_ON}"), now)
}

/// `finding` says what is wrong with its parentRef.
pub(crate) fn set_without_gateway(set: &ListenerSet, finding: &Finding, now: Timestamp) -> ListenerSetStatus {
    pending_set(set, &format!("{}: {}", finding.field, finding.message), now)
}

fn pending_set(set: &ListenerSet, message: &str, now: Timestamp) -> ListenerSetStatus {
    ListenerSetStatus { conditions: pending(Stamp { now, generation: set.metadata.generation }, message), listeners: Vec::new() }
}

fn pending(stamp: Stamp, message: &str) -> Vec<Condition> {
    let condition = |type_| Condition { status: "Unknown".to_owned(), ..stamp.condition(type_, false, "Pending", message) };
    ["Accepted", "Programmed"].map(condition).into()
}

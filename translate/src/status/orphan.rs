//! Statuses of Gateways and ListenerSets that were ours until their GatewayClass went: they are where they began, "when the status is
//! "Unknown" and no controller has reconciled the Gateway" (`GatewayReasonPending`, `ListenerSetReasonPending`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::{GatewayStatus, ListenerSetStatus, Stamp};
use crate::ListenerSet;
use crate::gateway::Orphan;

pub(crate) fn gateway_without_class(orphan: &Orphan, now: Timestamp) -> GatewayStatus {
    let conditions = pending(Stamp { now, generation: orphan.generation }, &orphan.problem.message);
    GatewayStatus { conditions, addresses: orphan.addresses.clone(), listeners: Vec::new(), attached_listener_sets: None }
}

pub(crate) fn set_without_class(set: &ListenerSet, orphan: &Orphan, now: Timestamp) -> ListenerSetStatus {
    let message = format!("of Gateway {}/{}: {}", orphan.problem.namespace, orphan.problem.name, orphan.problem.message);
    let conditions = pending(Stamp { now, generation: set.metadata.generation }, &message);
    ListenerSetStatus { conditions, listeners: Vec::new() }
}

fn pending(stamp: Stamp, message: &str) -> Vec<Condition> {
    let message = format!("{message}; until then what runs for it stays as it was");
    let condition = |type_| Condition { status: "Unknown".to_owned(), ..stamp.condition(type_, false, "Pending", message.as_str()) };
    ["Accepted", "Programmed"].map(condition).into()
}

//! Statuses of routes: one entry per parent of ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::{RouteParentStatus, RouteStatus, Stamp};
use crate::finding::{Aspect, Finding, UNSUPPORTED_VALUE};
use crate::model::ParentRef;
use crate::route::{CompiledRoute, Refused, Validity};

/// How a route stands with one of its parents.
pub(crate) struct Standing<'r> {
    pub(crate) reference: &'r ParentRef,
    /// Why the route is not on it.
    pub(crate) finding: Option<&'r Finding>,
}

pub(crate) fn route_status(route: &CompiledRoute, parents: &[Standing<'_>], controller: &str, now: Timestamp) -> RouteStatus {
    let stamp = Stamp { now, generation: route.route.generation };
    let parent = |parent: &Standing<'_>| {
        let mut conditions = vec![accepted(stamp, route, parent), stamp.judged(&route.findings, Aspect::ResolvedRefs)];
        conditions.extend(partially_invalid(stamp, route, parent));
        RouteParentStatus { parent_ref: parent.reference.clone(), controller_name: controller.to_owned(), conditions }
    };
    RouteStatus { parents: parents.iter().map(parent).collect() }
}

fn accepted(stamp: Stamp, route: &CompiledRoute, parent: &Standing<'_>) -> Condition {
    match (&parent.finding, route.validity()) {
        (Some(finding), _) => stamp.condition("Accepted", false, finding.reason, finding.message.clone()),
        (None, Validity::None) => stamp.judged(&route.findings, Aspect::Accepted),
        (None, Validity::All | Validity::Some) => stamp.condition("Accepted", true, "Accepted", route.findings.warnings(Aspect::Accepted)),
    }
}

/// "The message for this condition MUST start with the prefix "Dropped Rule" … In this state, the "Accepted" condition MUST be set to
/// "True""; "this condition MUST NOT be set if a Route is fully valid, fully invalid, or not accepted" (RouteConditionPartiallyInvalid).
fn partially_invalid(stamp: Stamp, route: &CompiledRoute, parent: &Standing<'_>) -> Option<Condition> {
    if parent.finding.is_some() || route.validity() != Validity::Some {
        return None;
    }
    let (_, why) = route.findings.failing(Aspect::Accepted)?;
    let dropped = |extent, what: &str| {
        let rules: Vec<String> = route.refused(extent).iter().map(usize::to_string).collect();
        (!rules.is_empty()).then(|| format!("Dropped Rule(s) {}{what} refused", rules.join(", ")))
    };
    let wholly = dropped(Refused::Everything, ": all of their requests are");
    let partly = dropped(Refused::Shares, " in part: the requests that fall to an invalid backendRef are");
    let dropped: Vec<String> = wholly.into_iter().chain(partly).collect();
    Some(stamp.condition("PartiallyInvalid", true, UNSUPPORTED_VALUE, format!("{}.\n{why}", dropped.join(". "))))
}

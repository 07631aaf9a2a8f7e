//! Statuses of routes: one entry per parent of ours.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{RouteParentStatus, RouteStatus, Stamp, World};
use crate::ObjectKey;
use crate::attach::{Attachments, Parent};
use crate::finding::{Aspect, UNSUPPORTED_VALUE};
use crate::model::RouteKind;
use crate::route::{CompiledRoute, Refused, Validity};

pub(super) fn statuses(
    world: &World<'_>,
    kind: RouteKind,
    routes: &[CompiledRoute],
    attachments: &Attachments,
) -> BTreeMap<ObjectKey, RouteStatus> {
    let with_parents = routes.iter().zip(&attachments.parents).filter(|(route, parents)| route.route.kind == kind && !parents.is_empty());
    let status = |(route, parents): (&CompiledRoute, &Vec<Parent>)| {
        let parents = parents.iter().map(|one| parent(world, route, one)).collect();
        (route.route.key.clone(), RouteStatus { parents })
    };
    with_parents.map(status).collect()
}

fn parent(world: &World<'_>, route: &CompiledRoute, parent: &Parent) -> RouteParentStatus {
    let stamp = Stamp { now: world.now, generation: route.route.generation };
    let mut conditions = vec![accepted(stamp, route, parent), stamp.judged(&route.findings, Aspect::ResolvedRefs)];
    conditions.extend(partially_invalid(stamp, route, parent));
    RouteParentStatus { parent_ref: parent.reference.clone(), controller_name: world.settings.controller_name.clone(), conditions }
}

fn accepted(stamp: Stamp, route: &CompiledRoute, parent: &Parent) -> Condition {
    match (&parent.finding, route.validity()) {
        (Some(finding), _) => stamp.condition("Accepted", false, finding.reason, finding.message.clone()),
        (None, Validity::None) => stamp.judged(&route.findings, Aspect::Accepted),
        (None, Validity::All | Validity::Some) => stamp.condition("Accepted", true, "Accepted", route.findings.warnings(Aspect::Accepted)),
    }
}

/// "The message for this condition MUST start with the prefix "Dropped Rule" … In this state, the "Accepted" condition MUST be set to
/// "True""; "this condition MUST NOT be set if a Route is fully valid, fully invalid, or not accepted" (RouteConditionPartiallyInvalid).
fn partially_invalid(stamp: Stamp, route: &CompiledRoute, parent: &Parent) -> Option<Condition> {
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

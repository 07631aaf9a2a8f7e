//! All findings as problems, by object: what `keyward up` prints and what logs say.

use super::Standing;
use crate::finding::{About, Aspect, Finding, Findings, Problem};
use crate::gateway::{Gateway, Listener, Set};
use crate::route::{CompiledRoute, Validity};
use crate::upstream::Judged;

fn problem(about: About<'_>, finding: &Finding) -> Problem {
    finding.problem(about, finding.aspect.condition())
}

pub(crate) fn of(about: About<'_>, findings: &Findings) -> Vec<Problem> {
    findings.iter().map(|finding| problem(about, finding)).collect()
}

/// Of one that is Gloo's, nothing but that credentials stand in it.
pub(crate) fn of_upstream(about: About<'_>, upstream: &Judged) -> Vec<Problem> {
    let said = upstream.findings.iter().filter(|finding| upstream.is_ai || finding.aspect == Aspect::InlineCredentials);
    said.map(|finding| problem(about, finding)).collect()
}

pub(crate) fn of_gateway(about: About<'_>, gateway: &Gateway) -> Vec<Problem> {
    of_holder(about, &gateway.findings, gateway.own_listeners())
}

pub(crate) fn of_set(about: About<'_>, gateway: &Gateway, set: &Set) -> Vec<Problem> {
    of_holder(about, &set.findings, gateway.listeners_of_set(set))
}

fn of_holder(about: About<'_>, findings: &Findings, listeners: &[Listener]) -> Vec<Problem> {
    let listeners = listeners.iter().flat_map(|listener| of(about, &listener.findings));
    of(about, findings).into_iter().chain(listeners).collect()
}

/// A route without a parent of ours is none of our business.
pub(crate) fn of_route(route: &CompiledRoute, parents: &[Standing<'_>]) -> Vec<Problem> {
    if parents.is_empty() {
        return Vec::new();
    }
    let about = route.route.about();
    let own = route.findings.iter().map(|finding| match (finding.aspect, route.validity()) {
        (Aspect::Accepted, Validity::Some) if finding.is_mistake() => finding.problem(about, "PartiallyInvalid"),
        _ => problem(about, finding),
    });
    own.chain(parents.iter().filter_map(|parent| parent.finding).map(|finding| problem(about, finding))).collect()
}

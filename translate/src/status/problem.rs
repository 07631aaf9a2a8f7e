//! All findings as problems, by object: what `keyward up` prints and what logs say.

use super::World;
use crate::attach::{Attachments, Parent};
use crate::finding::{About, Aspect, Finding, Findings, Problem};
use crate::gateway::Gateway;
use crate::route::{CompiledRoute, Validity};

/// Sorted by object; within one, in the order in which they were found.
pub(crate) fn problems(world: &World<'_>, routes: &[CompiledRoute], attachments: &Attachments) -> Vec<Problem> {
    let mut all: Vec<Problem> = Vec::new();
    for (name, class) in world.classes.ours() {
        all.extend(of(About { kind: "GatewayClass", namespace: "", name }, &class.findings));
    }
    for (key, gateway) in &world.gateways.ours {
        all.extend(of_gateway(About { kind: "Gateway", namespace: &key.namespace, name: &key.name }, gateway));
    }
    for (route, parents) in routes.iter().zip(&attachments.parents) {
        all.extend(of_route(route, parents));
    }
    for (key, upstream) in world.upstreams {
        all.extend(of(About { kind: "Upstream", namespace: &key.namespace, name: &key.name }, &upstream.findings));
    }
    all.extend(world.gateways.problems.iter().chain(&attachments.problems).cloned());
    all.sort_by(|a, b| (&a.kind, &a.namespace, &a.name).cmp(&(&b.kind, &b.namespace, &b.name)));
    all
}

fn problem(about: About<'_>, finding: &Finding) -> Problem {
    finding.problem(about, finding.aspect.condition())
}

fn of(about: About<'_>, findings: &Findings) -> Vec<Problem> {
    findings.iter().map(|finding| problem(about, finding)).collect()
}

fn of_gateway(about: About<'_>, gateway: &Gateway) -> Vec<Problem> {
    let listeners = gateway.listeners.iter().flat_map(|listener| of(about, &listener.findings));
    of(about, &gateway.findings).into_iter().chain(listeners).collect()
}

/// A route without a parent of ours is none of our business.
fn of_route(route: &CompiledRoute, parents: &[Parent]) -> Vec<Problem> {
    if parents.is_empty() {
        return Vec::new();
    }
    let about = route.route.about();
    let own = route.findings.iter().map(|finding| match (finding.aspect, route.validity()) {
        (Aspect::Accepted, Validity::Some) if finding.is_mistake() => finding.problem(about, "PartiallyInvalid"),
        _ => problem(about, finding),
    });
    own.chain(parents.iter().filter_map(|parent| parent.finding.as_ref()).map(|finding| problem(about, finding))).collect()
}

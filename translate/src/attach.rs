//! Which routes are on which listeners: parentRefs, allowed kinds and namespaces, and the hostnames both sides share.

mod claims;

use std::collections::{BTreeMap, BTreeSet};

use policy::Hostname;
use policy::config::HostPair;

use crate::ObjectKey;
use crate::finding::{Finding, Problem};
use crate::gateway::{Gateways, Listener};
use crate::grant::GATEWAY_GROUP;
use crate::index::Index;
use crate::model::{ParentRef, Route};
use crate::route::{CompiledRoute, Validity};
use claims::Claims;

/// Everything about who is attached where.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    /// For each Gateway, the attached routes by their position among all routes.
    pub(crate) by_gateway: BTreeMap<ObjectKey, BTreeMap<usize, Served>>,
    /// For each route, by position: the parents that are ours, in order.
    pub(crate) parents: Vec<Vec<Parent>>,
    /// Accepted routes per Gateway and listener.
    counts: BTreeMap<ObjectKey, BTreeMap<String, i32>>,
    /// About parents that nobody serves.
    pub(crate) problems: Vec<Problem>,
}

/// The listeners that a route is on, by name, and the hosts it has there.
pub(crate) type Served = BTreeMap<String, Vec<HostPair>>;

/// What became of a parentRef to a Gateway of ours.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) reference: ParentRef,
    /// Why the route is not on it.
    pub(crate) finding: Option<Finding>,
}

impl Attachments {
    /// How many accepted routes a listener has: "attached … regardless of whether its references resolve" (ListenerStatus.attachedRoutes).
    pub(crate) fn count(&self, gateway: &ObjectKey, listener: &str) -> i32 {
        self.counts.get(gateway).and_then(|listeners| listeners.get(listener)).copied().unwrap_or_default()
    }
}

pub(crate) fn attach_all(index: &Index<'_>, gateways: &Gateways, routes: &[CompiledRoute]) -> Attachments {
    let mut attacher = Attacher { index, gateways, claims: BTreeMap::new(), all: Attachments::default() };
    let mut parents: BTreeMap<usize, Vec<Parent>> = BTreeMap::new();
    for (at, route) in by_age(routes) {
        parents.insert(at, attacher.attach(at, route));
    }
    let mut all = attacher.all;
    all.parents = parents.into_values().collect();
    all.count_all(routes);
    all
}

/// "The oldest Route based on creation timestamp" first, then "the Route appearing first in alphabetical order by "{namespace}/{name}"".
fn by_age(routes: &[CompiledRoute]) -> Vec<(usize, &CompiledRoute)> {
    let mut sorted: Vec<_> = routes.iter().enumerate().collect();
    sorted.sort_by_cached_key(|(_, route)| (route.route.created, route.route.key.to_string(), route.route.kind));
    sorted
}

/// Attaches one route after the other, the oldest first.
struct Attacher<'a> {
    index: &'a Index<'a>,
    gateways: &'a Gateways,
    /// By Gateway and listener.
    claims: BTreeMap<(ObjectKey, String), Claims<'a>>,
    all: Attachments,
}

impl<'a> Attacher<'a> {
    /// What becomes of a route's parents, as far as they are ours.
    fn attach(&mut self, at: usize, route: &'a CompiledRoute) -> Vec<Parent> {
        let labels = self.index.namespace_labels(&route.route.key.namespace);
        let mut parents = Vec::new();
        for (nth, reference) in route.route.parent_refs.iter().enumerate() {
            let (gateways, key) = (self.gateways, parent_key(&route.route, reference));
            let Some(gateway) = gateways.ours.get(&key).filter(|_| is_gateway(reference)) else {
                self.all.problems.extend(nobodys(self.index, &route.route, reference, nth));
                continue;
            };
            let field = format!("spec.parentRefs[{nth}]");
            let candidate = Candidate { route, labels: &labels, reference, gateway: &key };
            let served = candidate.attach(&gateway.listeners, &field).and_then(|served| self.claim(route, &key, served, &field));
            let finding = served.map(|served| self.merge(at, &candidate, served)).err();
            parents.push(Parent { reference: reference.clone(), finding });
        }
        parents
    }

    /// Refuses a route whose hosts an accepted route of the other kind has; otherwise they are its own. A route that is not accepted for
    /// other reasons takes nothing from anybody.
    fn claim(&mut self, route: &'a CompiledRoute, gateway: &ObjectKey, served: Served, field: &str) -> Result<Served, Finding> {
        if route.validity() == Validity::None {
            return Ok(served);
        }
        let Route { kind, key, .. } = &*route.route;
        let place = |listener: &String| (gateway.clone(), listener.clone());
        for (listener, hosts) in &served {
            let rival = self.claims.get(&place(listener)).and_then(|claims| claims.rival(*kind, served_hosts(hosts)));
            if let Some((kind, rival)) = rival {
                let message = format!(
                    "{} {rival} is older, or before this route by name, and has one of its hostnames on listener {listener}: routes of \
                     both kinds cannot share a hostname; give one of them another",
                    kind.as_str()
                );
                return Err(Finding::accepted(field, "HostnameConflict", message));
            }
        }
        for (listener, hosts) in &served {
            self.claims.entry(place(listener)).or_default().take(*kind, key, served_hosts(hosts));
        }
        Ok(served)
    }

    /// Two parentRefs may lead to the same listener; the route is on it once.
    fn merge(&mut self, at: usize, candidate: &Candidate<'_>, served: Served) {
        if candidate.route.hostnames.is_some() {
            let known = self.all.by_gateway.entry(candidate.gateway.clone()).or_default().entry(at).or_default();
            known.extend(served);
        }
    }
}

fn served_hosts(hosts: &[HostPair]) -> impl Iterator<Item = Option<&Hostname>> {
    hosts.iter().map(|pair| pair.host.as_ref())
}

fn is_gateway(reference: &ParentRef) -> bool {
    reference.group == GATEWAY_GROUP && reference.kind == "Gateway"
}

fn parent_key(route: &Route, reference: &ParentRef) -> ObjectKey {
    ObjectKey::new(reference.namespace.as_deref().unwrap_or(&route.key.namespace), &reference.name)
}

/// A parent that does not exist, or that is of a kind we do not serve, is a problem for whoever wrote it. One of another controller, or
/// of another group such as a mesh's Service, is none of our business.
fn nobodys(index: &Index<'_>, route: &Route, reference: &ParentRef, nth: usize) -> Option<Problem> {
    let key = parent_key(route, reference);
    let message = match is_gateway(reference) {
        true if index.gateway(&key).is_some() => return None,
        true => format!("Gateway {key} does not exist: create it, or correct the reference"),
        false if reference.group == GATEWAY_GROUP => format!("a parent of kind {} is not served yet: refer to a Gateway", reference.kind),
        false => return None,
    };
    Some(Finding::accepted(format!("spec.parentRefs[{nth}]"), "NoMatchingParent", message).problem(route.about(), "Accepted"))
}

impl Attachments {
    fn count_all(&mut self, routes: &[CompiledRoute]) {
        for (gateway, attached) in &self.by_gateway {
            let counts = self.counts.entry(gateway.clone()).or_default();
            let accepted = attached.iter().filter(|(at, _)| routes.get(**at).is_some_and(|route| route.validity() != Validity::None));
            for listener in accepted.flat_map(|(_, served)| served.keys()) {
                *counts.entry(listener.clone()).or_default() += 1;
            }
        }
    }
}

/// A route that would be on a Gateway.
struct Candidate<'a> {
    route: &'a CompiledRoute,
    labels: &'a BTreeMap<String, String>,
    reference: &'a ParentRef,
    gateway: &'a ObjectKey,
}

impl Candidate<'_> {
    fn attach(&self, listeners: &[Listener], field: &str) -> Result<Served, Finding> {
        let refused = |reason, message| Err(Finding::accepted(field, reason, message));
        let named: Vec<&Listener> = listeners.iter().filter(|listener| self.names(listener)).collect();
        if named.is_empty() {
            return refused("NoMatchingParent", self.no_such_listener());
        }
        let allowing: Vec<&Listener> = named.into_iter().filter(|listener| self.is_allowed_by(listener)).collect();
        if allowing.is_empty() {
            let (kind, namespace) = (self.route.route.kind.as_str(), &self.route.route.key.namespace);
            let message =
                format!("no listener of Gateway {} admits a {kind} from namespace {namespace}: see its allowedRoutes", self.gateway);
            return refused("NotAllowedByListeners", message);
        }
        let hostnames = self.route.hostnames.as_deref().unwrap_or_default();
        let served: Served =
            allowing.into_iter().filter_map(|listener| Some((listener.name.clone(), meet(listener, hostnames)?))).collect();
        match served.is_empty() {
            false => Ok(served),
            true => refused(
                "NoMatchingListenerHostname",
                format!(
                    "no listener of Gateway {} serves a hostname of this route: make hostnames and listener.hostname meet",
                    self.gateway
                ),
            ),
        }
    }

    /// Whether the parentRef means a listener: "When both Port and SectionName are specified, the name and port of the selected listener
    /// must match both specified values" (ParentReference.port).
    fn names(&self, listener: &Listener) -> bool {
        self.reference.section_name.as_ref().is_none_or(|section| *section == listener.name)
            && self.reference.port.is_none_or(|port| port == i64::from(listener.port))
    }

    fn is_allowed_by(&self, listener: &Listener) -> bool {
        let route = &self.route.route;
        listener.kinds.contains(&route.kind) && listener.namespaces.admits(&self.gateway.namespace, &route.key.namespace, self.labels)
    }

    fn no_such_listener(&self) -> String {
        let section = self.reference.section_name.as_ref().map(|section| format!(" named {section}")).unwrap_or_default();
        let port = self.reference.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        format!("Gateway {} has no listener{section}{port}: correct sectionName or port", self.gateway)
    }
}

/// Where listener and route meet. "If both … have specified hostnames, any HTTPRoute hostnames that do not match the Listener hostname MUST
/// be ignored"; a route without hostnames takes the listener's.
fn meet(listener: &Listener, hostnames: &[Hostname]) -> Option<Vec<HostPair>> {
    let own = listener.hostname.as_ref().ok()?;
    let pair = |original: &Hostname| {
        let host = match own {
            None => Some(original.clone()),
            Some(own) => own.intersect(original),
        };
        host.map(|host| HostPair { host: Some(host), original: Some(original.clone()) })
    };
    let mut seen = BTreeSet::new();
    let hosts: Vec<HostPair> = match hostnames.is_empty() {
        true => vec![HostPair { host: own.clone(), original: None }],
        false => hostnames.iter().filter(|hostname| seen.insert(*hostname)).filter_map(pair).collect(),
    };
    (!hosts.is_empty()).then_some(hosts)
}

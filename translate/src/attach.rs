//! On which listeners a route is: parentRefs, allowed kinds and namespaces, and the hostnames both sides share. What other routes are there
//! too is another matter: see [`crate::roster`].

use std::collections::{BTreeMap, BTreeSet};

use policy::Hostname;
use policy::config::HostPair;

use crate::finding::{Finding, Problem};
use crate::gateway::{Judged, Listener};
use crate::grant::GATEWAY_GROUP;
use crate::index::Index;
use crate::memo::Memo;
use crate::model::{ParentRef, Route};
use crate::route::CompiledRoute;
use crate::{Kind, ObjectKey};

/// The listeners that a route is on, by name, and the hosts it has there.
pub(crate) type Served = BTreeMap<String, Vec<HostPair>>;

/// What became of a parentRef to a Gateway of ours.
#[derive(Debug)]
pub(crate) struct Parent {
    /// `spec.parentRefs[n]`.
    pub(crate) field: String,
    pub(crate) reference: ParentRef,
    pub(crate) gateway: ObjectKey,
    /// Where the route is; or why it is on none of its listeners.
    pub(crate) outcome: Result<Served, Finding>,
}

/// What becomes of a route's parents, as far as they are ours; and problems about those that nobody serves.
pub(crate) fn attach(index: &Index<'_>, gateways: &Memo<ObjectKey, Judged>, route: &CompiledRoute) -> (Vec<Parent>, Vec<Problem>) {
    let labels = index.namespace_labels(&route.route.key.namespace);
    let (mut parents, mut problems) = (Vec::new(), Vec::new());
    for (nth, reference) in route.route.parent_refs.iter().enumerate() {
        let (field, key) = (format!("spec.parentRefs[{nth}]"), parent_key(&route.route, reference));
        index.note(Kind::Gateway, &key);
        let known = gateways.get(&key).filter(|_| is_gateway(reference));
        let Some(Judged::Ours(gateway)) = known else {
            problems.extend(nobodys(&route.route, reference, &field, known.is_some()));
            continue;
        };
        let outcome = Candidate { route, labels: &labels, reference, gateway: &key }.attach(&gateway.listeners, &field);
        parents.push(Parent { field, reference: reference.clone(), gateway: key, outcome });
    }
    (parents, problems)
}

fn is_gateway(reference: &ParentRef) -> bool {
    reference.group == GATEWAY_GROUP && reference.kind == "Gateway"
}

fn parent_key(route: &Route, reference: &ParentRef) -> ObjectKey {
    ObjectKey::new(reference.namespace.as_deref().unwrap_or(&route.key.namespace), &reference.name)
}

/// A parent that does not exist, or that is of a kind we do not serve, is a problem for whoever wrote it. One of another controller, or
/// of another group such as a mesh's Service, is none of our business.
fn nobodys(route: &Route, reference: &ParentRef, field: &str, exists: bool) -> Option<Problem> {
    let key = parent_key(route, reference);
    let message = match is_gateway(reference) {
        true if exists => return None,
        true => format!("Gateway {key} does not exist: create it, or correct the reference"),
        false if reference.group == GATEWAY_GROUP => format!("a parent of kind {} is not served yet: refer to a Gateway", reference.kind),
        false => return None,
    };
    Some(Finding::accepted(field, "NoMatchingParent", message).problem(route.about(), "Accepted"))
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

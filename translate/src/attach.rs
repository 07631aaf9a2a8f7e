//! On which listeners a route is: parentRefs, allowed kinds and namespaces, and the hostnames both sides share. What other routes are there
//! too is another matter: see [`crate::roster`].

use std::collections::{BTreeMap, BTreeSet};

use policy::Hostname;
use policy::config::HostPair;

use crate::finding::{Finding, Problem};
use crate::gateway::{Holder, Judged, Listener};
use crate::grant::GATEWAY_GROUP;
use crate::index::Index;
use crate::memo::Memo;
use crate::model::{ParentRef, Route};
use crate::route::CompiledRoute;
use crate::{Kind, ListenerSet, ObjectKey};

/// The listeners that a route is on, sorted by name, and the hosts it has there.
pub(crate) type Served = Box<[(String, Vec<HostPair>)]>;

/// What became of a parentRef to a Gateway of ours, or to a ListenerSet of one.
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
        let field = format!("spec.parentRefs[{nth}]");
        let Some(holder) = holder(&route.route, reference) else {
            problems.extend(unknown_kind(&route.route, reference, &field));
            continue;
        };
        let (key, is_there) = gateway_of(index, gateways, &holder);
        let judged = key.as_ref().and_then(|key| gateways.get(key)).and_then(Judged::ours);
        let Some((gateway, key)) = judged.zip(key) else {
            problems.extend((!is_there).then(|| missing(&route.route, &holder, &field)));
            continue;
        };
        let outcome = Candidate { route, labels: &labels, reference, holder: &holder }.attach(gateway.listeners_of(&holder), &field);
        parents.push(Parent { field, reference: reference.clone(), gateway: key, outcome });
    }
    parents.shrink_to_fit();
    (parents, problems)
}

/// What a parentRef means, if that is something with listeners.
fn holder(route: &Route, reference: &ParentRef) -> Option<Holder> {
    let key = ObjectKey::new(reference.namespace.as_deref().unwrap_or(&route.key.namespace), &reference.name);
    match (reference.group.as_str(), reference.kind.as_str()) {
        (GATEWAY_GROUP, "Gateway") => Some(Holder::Gateway(key)),
        (GATEWAY_GROUP, "ListenerSet") => Some(Holder::Set(key)),
        _ => None,
    }
}

/// The Gateway that listens for it, and whether the parent itself is there.
fn gateway_of(index: &Index<'_>, gateways: &Memo<ObjectKey, Judged>, holder: &Holder) -> (Option<ObjectKey>, bool) {
    let (gateway, is_there) = match holder {
        Holder::Gateway(key) => (Some(key.clone()), gateways.get(key).is_some()),
        Holder::Set(key) => {
            let set = index.listener_set(key);
            (set.and_then(ListenerSet::gateway), set.is_some())
        }
    };
    gateway.iter().for_each(|gateway| index.note(Kind::Gateway, gateway));
    (gateway, is_there)
}

/// A parent that does not exist, or that is of a kind we do not serve, is a problem for whoever wrote it. One of another controller, or
/// of another group such as a mesh's Service, is none of our business.
fn missing(route: &Route, parent: &Holder, field: &str) -> Problem {
    no_parent(route, field, format!("{parent} does not exist: create it, or correct the reference"))
}

fn unknown_kind(route: &Route, reference: &ParentRef, field: &str) -> Option<Problem> {
    let message = || format!("a parent of kind {} is not served: refer to a Gateway or a ListenerSet", reference.kind);
    (reference.group == GATEWAY_GROUP).then(|| no_parent(route, field, message()))
}

fn no_parent(route: &Route, field: &str, message: String) -> Problem {
    Finding::accepted(field, "NoMatchingParent", message).problem(route.about(), "Accepted")
}

/// A route that would be on listeners of a Gateway or ListenerSet.
struct Candidate<'a> {
    route: &'a CompiledRoute,
    labels: &'a BTreeMap<String, String>,
    reference: &'a ParentRef,
    holder: &'a Holder,
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
            let message = format!("no listener of {} admits a {kind} from namespace {namespace}: see its allowedRoutes", self.holder);
            return refused("NotAllowedByListeners", message);
        }
        let hostnames = self.route.hostnames.as_deref().unwrap_or_default();
        let served: BTreeMap<String, Vec<HostPair>> =
            allowing.into_iter().filter_map(|listener| Some((listener.name.clone(), meet(listener, hostnames)?))).collect();
        match served.is_empty() {
            false => Ok(served.into_iter().collect()),
            true => refused(
                "NoMatchingListenerHostname",
                format!("no listener of {} serves a hostname of this route: make hostnames and listener.hostname meet", self.holder),
            ),
        }
    }

    /// Whether the parentRef means a listener: "When both Port and SectionName are specified, the name and port of the selected listener
    /// must match both specified values" (ParentReference.port).
    fn names(&self, listener: &Listener) -> bool {
        self.reference.section_name.as_ref().is_none_or(|section| *section == listener.section)
            && self.reference.port.is_none_or(|port| port == i64::from(listener.port))
    }

    fn is_allowed_by(&self, listener: &Listener) -> bool {
        let (route, own) = (&self.route.route, &self.holder.key().namespace);
        listener.kinds.contains(&route.kind) && listener.namespaces.admits(own, &route.key.namespace, self.labels)
    }

    fn no_such_listener(&self) -> String {
        let section = self.reference.section_name.as_ref().map(|section| format!(" named {section}")).unwrap_or_default();
        let port = self.reference.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        match (self.holder, section.is_empty() && port.is_empty()) {
            (Holder::Set(_), true) => format!("{} has no listeners, or may not attach to its Gateway: see its status", self.holder),
            _ => format!("{} has no listener{section}{port}: correct sectionName or port", self.holder),
        }
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

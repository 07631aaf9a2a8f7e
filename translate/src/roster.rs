//! Who is on one Gateway, the oldest first: conflicts between routes, and how many each listener has.

use std::collections::{BTreeMap, BTreeSet};

use policy::config::HostPair;

use crate::ObjectKey;
use crate::attach::{Parent, Served};
use crate::claims::Claims;
use crate::finding::Finding;
use crate::memo::Memo;
use crate::model::{RouteId, RouteKind};
use crate::route::{RouteState, Validity};

/// "The oldest Route based on creation timestamp" first, then "the Route appearing first in alphabetical order by "{namespace}/{name}"".
type Age = (i64, String, RouteKind);

/// The routes of a Gateway.
#[derive(Default)]
pub(crate) struct Roster {
    by_age: BTreeMap<Age, RouteId>,
    /// How many of those are of each kind.
    kinds: BTreeMap<RouteKind, usize>,
    conflicts: Conflicts,
    /// By listener, how many accepted routes it has.
    counts: BTreeMap<String, i32>,
    /// The listeners for which each route was counted.
    counted: BTreeMap<RouteId, Box<[String]>>,
}

/// Why a parentRef, by its position among those of ours, is refused although its listeners would take it.
type Conflicts = BTreeMap<(RouteId, usize), Finding>;

impl Roster {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_age.is_empty() && self.counted.is_empty()
    }

    /// A route would be here.
    pub(crate) fn enter(&mut self, route: &RouteState) {
        let id = route.compiled.route.id();
        if self.by_age.insert(age(route), id.clone()).is_none() {
            *self.kinds.entry(id.kind).or_default() += 1;
        }
    }

    /// A route is no longer here, or is not what it was.
    pub(crate) fn leave(&mut self, route: &RouteState) {
        if let Some(id) = self.by_age.remove(&age(route)) {
            *self.kinds.entry(id.kind).or_default() -= 1;
        }
    }

    /// Judges anew who is in conflict. Gives the routes for which that changed.
    pub(crate) fn settle(&mut self, gateway: &ObjectKey, routes: &Memo<RouteId, RouteState>) -> BTreeSet<RouteId> {
        let has = |kind| self.kinds.get(&kind).is_some_and(|routes| *routes > 0);
        // Routes of one kind share hostnames.
        let now = match has(RouteKind::Http) && has(RouteKind::Grpc) {
            true => conflicts(gateway, self.by_age.values().filter_map(|id| routes.get(id))),
            false => Conflicts::new(),
        };
        let before = std::mem::replace(&mut self.conflicts, now);
        let differ = |one: &Conflicts, other: &Conflicts| {
            one.iter().filter(|(place, finding)| other.get(place) != Some(finding)).map(|((id, _), _)| id.clone()).collect::<Vec<_>>()
        };
        differ(&before, &self.conflicts).into_iter().chain(differ(&self.conflicts, &before)).collect()
    }

    /// Why a route's parentRef is refused for the sake of an older route.
    pub(crate) fn conflict(&self, id: &RouteId, nth: usize) -> Option<&Finding> {
        if self.conflicts.is_empty() {
            return None;
        }
        self.conflicts.get(&(id.clone(), nth))
    }

    /// The listeners that an accepted route is on.
    pub(crate) fn count_route(&mut self, id: &RouteId, listeners: Box<[String]>) {
        let before = self.counted.remove(id).unwrap_or_default();
        for gone in &before {
            *self.counts.entry(gone.clone()).or_default() -= 1;
        }
        for new in &listeners {
            *self.counts.entry(new.clone()).or_default() += 1;
        }
        if !listeners.is_empty() {
            self.counted.insert(id.clone(), listeners);
        }
    }

    /// How many accepted routes a listener has: "attached … regardless of whether its references resolve" (ListenerStatus.attachedRoutes).
    pub(crate) fn attached(&self, listener: &str) -> i32 {
        self.counts.get(listener).copied().unwrap_or_default()
    }
}

fn age(route: &RouteState) -> Age {
    let route = &route.compiled.route;
    (route.created, route.key.to_string(), route.kind)
}

/// Goes through the routes from the oldest to the youngest: hosts that an accepted route of the other kind has are refused. A route that is
/// not accepted for other reasons takes nothing from anybody.
fn conflicts<'r>(gateway: &ObjectKey, routes: impl Iterator<Item = &'r RouteState>) -> Conflicts {
    let mut claims: BTreeMap<&str, Claims<'_>> = BTreeMap::new();
    let mut conflicts = Conflicts::new();
    for route in routes.filter(|route| route.compiled.validity() != Validity::None) {
        for (nth, parent) in route.parents.iter().enumerate().filter(|(_, parent)| parent.gateway == *gateway) {
            let Ok(served) = &parent.outcome else { continue };
            match rival(&claims, route, parent, served) {
                Some(finding) => drop(conflicts.insert((route.compiled.route.id(), nth), finding)),
                None => claim(&mut claims, route, served),
            }
        }
    }
    conflicts
}

fn rival(claims: &BTreeMap<&str, Claims<'_>>, route: &RouteState, parent: &Parent, served: &Served) -> Option<Finding> {
    let kind = route.compiled.route.kind;
    let found =
        served.iter().find_map(|(listener, hosts)| Some((listener, claims.get(listener.as_str())?.rival(kind, served_hosts(hosts))?)));
    let (listener, (kind, rival)) = found?;
    let message = format!(
        "{} {rival} is older, or before this route by name, and has one of its hostnames on listener {listener}: routes of both kinds \
         cannot share a hostname; give one of them another",
        kind.as_str()
    );
    Some(Finding::accepted(&parent.field, "HostnameConflict", message))
}

fn claim<'r>(claims: &mut BTreeMap<&'r str, Claims<'r>>, route: &'r RouteState, served: &'r Served) {
    let route = &route.compiled.route;
    for (listener, hosts) in served {
        claims.entry(listener).or_default().take(route.kind, &route.key, served_hosts(hosts));
    }
}

fn served_hosts(hosts: &[HostPair]) -> impl Iterator<Item = Option<&policy::Hostname>> {
    hosts.iter().map(|pair| pair.host.as_ref())
}

//! Which kind of route has which hosts of a listener: "If a Route (A) of type HTTPRoute or GRPCRoute is attached to a Listener and that
//! listener already has another Route (B) of the other type attached and the intersection of the hostnames of A and B is non-empty, then
//! the implementation MUST accept exactly one of these two routes" (GRPCRouteSpec.hostnames).

use std::collections::BTreeMap;

use policy::Hostname;

use crate::ObjectKey;
use crate::model::RouteKind;

/// The hosts of one listener that accepted routes have, by their kind. Only HTTPRoutes and GRPCRoutes ever meet on one.
#[derive(Debug, Default)]
pub(crate) struct Claims<'r>(BTreeMap<RouteKind, Hosts<'r>>);

/// Hosts of routes of one kind, each with its first route.
#[derive(Debug, Default)]
struct Hosts<'r> {
    /// Whoever has any host.
    some: Option<&'r ObjectKey>,
    /// Whoever has all hosts.
    all: Option<&'r ObjectKey>,
    exact: BTreeMap<String, &'r ObjectKey>,
    /// By `.example.com`.
    wildcard: BTreeMap<String, &'r ObjectKey>,
    /// By `.example.com`: whoever has a host below it, exact or wildcard, or that wildcard itself.
    below: BTreeMap<String, &'r ObjectKey>,
}

impl<'r> Claims<'r> {
    /// The route of another kind that has one of `hosts`; `None` among them stands for all hosts.
    pub(crate) fn rival<'h>(
        &self,
        kind: RouteKind,
        mut hosts: impl Iterator<Item = Option<&'h Hostname>>,
    ) -> Option<(RouteKind, &'r ObjectKey)> {
        let others = || self.0.iter().filter(|(other, _)| **other != kind);
        hosts.find_map(|host| others().find_map(|(other, taken)| Some((*other, taken.owner(host)?))))
    }

    /// Notes that a route has `hosts`. Whoever comes first keeps them.
    pub(crate) fn take<'h>(&mut self, kind: RouteKind, owner: &'r ObjectKey, hosts: impl Iterator<Item = Option<&'h Hostname>>) {
        let own = self.0.entry(kind).or_default();
        hosts.for_each(|host| own.insert(host, owner));
    }
}

impl<'r> Hosts<'r> {
    fn insert(&mut self, host: Option<&Hostname>, owner: &'r ObjectKey) {
        self.some.get_or_insert(owner);
        let Some(host) = host else {
            self.all.get_or_insert(owner);
            return;
        };
        let own = match host.wildcard_suffix() {
            Some(suffix) => self.wildcard.entry(suffix.to_owned()),
            None => self.exact.entry(host.as_str().to_owned()),
        };
        own.or_insert(owner);
        for suffix in suffixes(host) {
            self.below.entry(suffix.to_owned()).or_insert(owner);
        }
    }

    /// Whoever has a host that `host` meets.
    fn owner(&self, host: Option<&Hostname>) -> Option<&'r ObjectKey> {
        let Some(host) = host else { return self.some };
        let own = match host.wildcard_suffix() {
            Some(suffix) => self.below.get(suffix),
            None => self.exact.get(host.as_str()),
        };
        let above = || suffixes(host).find_map(|suffix| self.wildcard.get(suffix));
        own.or_else(above).copied().or(self.all)
    }
}

/// `.b.c` and `.c`, for `a.b.c` as for `*.b.c`.
fn suffixes(host: &Hostname) -> impl Iterator<Item = &str> {
    let text = host.as_str();
    text.match_indices('.').filter_map(|(at, _)| text.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_host() -> impl Strategy<Value = Option<Hostname>> {
        let some = (any::<bool>(), "[a-b](\\.[a-b]){0,3}").prop_map(|(wild, name)| {
            let text = format!("{}{name}", if wild { "*." } else { "" });
            Hostname::parse(&text).ok()
        });
        prop_oneof![9 => some, 1 => Just(None)]
    }

    fn meet(a: Option<&Hostname>, b: Option<&Hostname>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a.intersect(b).is_some(),
            (None, _) | (_, None) => true,
        }
    }

    proptest! {
        #[test]
        fn finds_a_rival_just_where_hostnames_intersect(
            known in proptest::collection::vec(any_host(), 0..5),
            host in any_host(),
        ) {
            let owner = ObjectKey::new("ns", "first");
            let mut claims = Claims::default();
            claims.take(RouteKind::Http, &owner, known.iter().map(Option::as_ref));
            let host = host.as_ref();
            let met = known.iter().any(|one| meet(one.as_ref(), host));
            prop_assert_eq!(claims.rival(RouteKind::Grpc, std::iter::once(host)), met.then_some((RouteKind::Http, &owner)));
            prop_assert_eq!(claims.rival(RouteKind::Http, std::iter::once(host)), None);
        }
    }
}

//! Which of several matching rules wins, as `Ord`: the smallest [`Precedence`] does.

use std::cmp::{Ordering, Reverse};

use crate::Hostname;
use crate::config::{Match, PathMatch, RouteKey, Rule};

/// Specificity of the route hostname behind a served host (`GatewayRouteHostnameIntersectionPrecedence`): it comes before everything
/// else, so it groups a host's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostRank(Reverse<Option<(bool, usize)>>);

impl HostRank {
    pub(crate) fn of(original: Option<&Hostname>) -> Self {
        Self(Reverse(original.map(Hostname::rank)))
    }
}

/// Within one host, in the order of the fields (Gateway API, `HTTPRouteRule.matches`): exact path, then (ours to say) regular
/// expression, then the longest prefix; a method match; more header matches; more query matches; the older route; the route's name;
/// the earlier rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence<'r> {
    path: Reverse<PathRank>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    created: i64,
    route: RouteOrder<'r>,
    rule: u32,
    position: usize,
}

/// "The Route appearing first in alphabetical order by {namespace}/{name}": as one text, so that `a-b/c` comes before `a/b`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RouteOrder<'r> {
    namespace: &'r str,
    name: &'r str,
    kind: &'r str,
}

impl RouteOrder<'_> {
    fn text(&self) -> impl Iterator<Item = u8> {
        self.namespace.bytes().chain(*b"/").chain(self.name.bytes())
    }
}

impl Ord for RouteOrder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text().cmp(other.text()).then_with(|| self.kind.cmp(other.kind))
    }
}

impl PartialOrd for RouteOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A gRPC service is a prefix and comes before a method of any service (`GRPCRouteRule.matches`); everything comes before `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Root,
    GrpcMethod(usize),
    Prefix(usize),
    Regex(usize),
    Exact(usize),
}

impl<'r> Precedence<'r> {
    pub(crate) fn of(rule: &'r Rule, position: usize) -> Self {
        let Match { path, method, headers, query } = &rule.matches[position];
        let RouteKey { kind, namespace, name } = &rule.route;
        Self {
            path: Reverse(match path {
                PathMatch::Exact(path) => PathRank::Exact(path.len()),
                PathMatch::Regex(path) => PathRank::Regex(path.len()),
                PathMatch::GrpcMethod(method) => PathRank::GrpcMethod(method.len()),
                PathMatch::Prefix(path) => match path.trim_end_matches('/').len() {
                    0 => PathRank::Root,
                    length => PathRank::Prefix(length),
                },
            }),
            method: Reverse(method.is_some()),
            headers: Reverse(headers.len()),
            query: Reverse(query.len()),
            created: rule.created,
            route: RouteOrder { namespace, name, kind },
            rule: rule.index,
            position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{StringMatch, ValueMatch};

    fn rule(name: &str, created: i64, index: u32, matched: Match) -> Rule {
        let route = RouteKey { kind: "HTTPRoute".into(), namespace: "ns".into(), name: name.into() };
        Rule { route, created, index, matches: vec![matched], ..Rule::default() }
    }

    fn value(name: &str) -> ValueMatch {
        ValueMatch { name: name.into(), value: StringMatch::Exact("v".into()) }
    }

    #[test]
    fn orders_as_the_specification_says() {
        let prefix = |path: &str| Match { path: PathMatch::Prefix(path.into()), ..Match::default() };
        let ordered = [
            rule("z", 9, 9, Match { path: PathMatch::Exact("/a".into()), ..Match::default() }),
            rule("z", 9, 9, Match { path: PathMatch::Regex("/a.*".into()), ..Match::default() }),
            rule("z", 9, 9, prefix("/abc")),
            rule("z", 9, 9, Match { method: Some("GET".into()), ..prefix("/ab") }),
            rule("z", 9, 9, Match { headers: vec![value("a"), value("b")], ..prefix("/ab") }),
            rule("z", 9, 9, Match { headers: vec![value("a")], query: vec![value("a"), value("b")], ..prefix("/ab") }),
            rule("z", 9, 9, Match { query: vec![value("a"), value("b")], ..prefix("/ab") }),
            rule("z", 1, 9, prefix("/ab/")),
            rule("a", 2, 9, prefix("/ab")),
            rule("b", 2, 0, prefix("/ab")),
            rule("b", 2, 1, prefix("/ab")),
            rule("a", 0, 0, Match { path: PathMatch::GrpcMethod("Get".into()), ..Match::default() }),
            rule("a", 0, 0, prefix("/")),
        ];
        for pair in ordered.windows(2) {
            assert!(Precedence::of(&pair[0], 0) < Precedence::of(&pair[1], 0), "{:?} before {:?}", pair[0], pair[1]);
        }
    }

    #[test]
    fn ranks_exact_hosts_before_longer_wildcards_before_none() {
        let rank = |text: &str| HostRank::of(Some(&Hostname::parse(text).unwrap()));
        assert!(rank("a.b.c") < rank("*.long.example.com"));
        assert!(rank("*.b.com") < rank("*.com") && rank("*.com") < HostRank::of(None));
    }
}

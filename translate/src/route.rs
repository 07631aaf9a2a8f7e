//! Routes, compiled as far as that goes without a Gateway: rules with matches, filters and every reference resolved. A rule that cannot be
//! served as written is kept and refuses; nothing is dropped.

mod backend;
mod expression;
mod filter;
mod header;
mod matching;
mod method;
mod path;
pub(crate) mod service;
mod timing;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::config::{self, Filters};
use policy::{Hostname, Reason};

use crate::attach::Parent;
use crate::finding::{Aspect, Finding, Findings, Problem, UNSUPPORTED_VALUE};
use crate::index::Index;
use crate::model::{BackendRef, Route, RouteKind, RouteRule};
use crate::supply::{Source, Sources};
use crate::upstream::Upstreams;

/// A route, compiled and with its parents.
pub(crate) struct RouteState {
    pub(crate) compiled: CompiledRoute,
    /// Its rules, without attachments, until they are placed: from then on its Gateways have them, and whoever wants to place them anew
    /// compiles them anew.
    pub(crate) rules: Option<Vec<config::Rule>>,
    /// Those that are ours, in order.
    pub(crate) parents: Vec<Parent>,
    /// About parents that nobody serves.
    pub(crate) problems: Vec<Problem>,
}

/// A route, ready to attach, without its rules.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    pub(crate) route: Arc<Route>,
    /// How much of each rule is refused.
    refused: Box<[Refused]>,
    /// Those that can be read. `None`: none can, so the route attaches nowhere rather than to more hosts than it says.
    pub(crate) hostnames: Option<Vec<Hostname>>,
    pub(crate) findings: Findings,
    /// What its rules refer to.
    pub(crate) sources: Sources,
}

/// How much of a route can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    All,
    /// Accepted, with `PartiallyInvalid`.
    Some,
    /// Not accepted.
    None,
}

/// How much of a rule is refused because of what it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Nothing,
    /// The requests that fall to some of its backendRefs.
    Shares,
    Everything,
}

impl CompiledRoute {
    pub(crate) fn validity(&self) -> Validity {
        let everything = self.refused(Refused::Everything).len();
        match self.findings.first(Aspect::Accepted) {
            None => Validity::All,
            Some(_) if everything < self.refused.len() => Validity::Some,
            Some(_) => Validity::None,
        }
    }

    /// Positions of the rules of which so much is refused.
    pub(crate) fn refused(&self, extent: Refused) -> Vec<usize> {
        self.refused.iter().enumerate().filter(|(_, refused)| **refused == extent).map(|(nth, _)| nth).collect()
    }
}

fn refused(rule: &config::Rule) -> Refused {
    let invalid = rule.backends.iter().filter(|share| share.backend == Err(Reason::InvalidRule)).count();
    match rule.backends.len() {
        _ if rule.refuse.is_some() => Refused::Everything,
        _ if invalid == 0 => Refused::Nothing,
        all if invalid < all => Refused::Shares,
        _ => Refused::Everything,
    }
}

/// Gives the route and its rules, one per rule that it has.
pub(crate) fn compile(index: &Index<'_>, upstreams: &Upstreams, route: Arc<Route>) -> (CompiledRoute, Vec<config::Rule>) {
    let (findings, sources) = (Findings::default(), BTreeMap::new());
    let mut compiler = Compiler { index, upstreams, sources, kind: route.kind, namespace: &route.key.namespace, findings };
    let hostnames = compiler.hostnames(&route.hostnames);
    // Where one hostname cannot be read, all rules refuse under the others: without them, their requests would fall to a wider route.
    let doubt = (compiler.mistakes() > 0).then_some(Reason::InvalidRule);
    let written = route.rules.read();
    let rules = written.iter().enumerate().map(|(nth, rule)| {
        let compiled = compiler.rule(nth, rule);
        config::Rule { created: route.created, route: key(&route), refuse: doubt.or(compiled.refuse), ..compiled }
    });
    let rules: Vec<config::Rule> = rules.collect();
    let Compiler { findings, sources, .. } = compiler;
    let refused = rules.iter().map(refused).collect();
    (CompiledRoute { route, refused, hostnames, findings: findings.complete(), sources: sources.into_iter().collect() }, rules)
}

fn key(route: &Route) -> config::RouteKey {
    config::RouteKey { kind: route.kind.as_str().to_owned(), namespace: route.key.namespace.clone(), name: route.key.name.clone() }
}

/// Compiles the rules of one route.
struct Compiler<'c, 's> {
    index: &'c Index<'s>,
    upstreams: &'c Upstreams,
    sources: BTreeMap<String, Source>,
    kind: RouteKind,
    namespace: &'c str,
    findings: Findings,
}

/// Where filters stand: their field, and whether a matched prefix exists for them to replace.
#[derive(Clone, Copy, Debug)]
struct Scope<'f> {
    field: &'f str,
    prefixes_only: bool,
}

impl Compiler<'_, '_> {
    /// How many mistakes were found that make a rule invalid; references that do not resolve are another matter.
    fn mistakes(&self) -> usize {
        self.findings.mistakes(Aspect::Accepted).count()
    }

    fn hostnames(&mut self, given: &[String]) -> Option<Vec<Hostname>> {
        let mut readable = Vec::with_capacity(given.len());
        for (nth, text) in given.iter().enumerate() {
            match Hostname::parse(text) {
                Ok(hostname) => readable.push(hostname),
                Err(error) => {
                    let message = format!("{error}; until then all requests of this route are refused");
                    self.findings.push(Finding::accepted(format!("spec.hostnames[{nth}]"), UNSUPPORTED_VALUE, message));
                }
            }
        }
        (given.is_empty() || !readable.is_empty()).then_some(readable)
    }

    fn rule(&mut self, nth: usize, rule: &RouteRule) -> config::Rule {
        let field = format!("spec.rules[{nth}]");
        let before = self.mistakes();
        let matches = matching::matches(&rule.matches, &field, &mut self.findings);
        let prefixes_only = matching::prefixes_only(&rule.matches);
        let scope = Scope { field: &field, prefixes_only };
        let filters = self.filters(&rule.filters, scope);
        let timeouts = timing::timeouts(rule.timeouts.as_deref(), &field, &mut self.findings);
        let retry = timing::retry(rule.retry.as_deref(), &field, &mut self.findings);
        if rule.session_persistence {
            self.findings.push(session_persistence(&field));
        }
        let refuse = (self.mistakes() > before).then_some(Reason::InvalidRule);
        let backends = rule.backend_refs.iter().enumerate();
        let backends = backends.map(|(nth, one)| self.weighted(one, &format!("{field}.backendRefs[{nth}]"), prefixes_only)).collect();
        let index = u32::try_from(nth).unwrap_or(u32::MAX);
        config::Rule { index, matches, filters, backends, timeouts, retry, refuse, ..config::Rule::default() }
    }

    fn weighted(&mut self, reference: &BackendRef, field: &str, prefixes_only: bool) -> config::BackendRef {
        let backend = self.resolve(reference, field);
        let before = self.mistakes();
        let filters =
            Some(self.filters(&reference.filters, Scope { field, prefixes_only })).filter(|filters| *filters != Filters::default());
        let weight = self.weight(reference.weight, field);
        let sound = self.mistakes() == before;
        config::BackendRef { weight, backend: if sound { backend } else { Err(Reason::InvalidRule) }, filters: filters.map(Box::new) }
    }

    /// "If weight is set to 0, no traffic should be forwarded for this entry. If unspecified, weight defaults to 1" (BackendRef.weight).
    fn weight(&mut self, given: Option<i64>, field: &str) -> u32 {
        let given = given.unwrap_or(1);
        u32::try_from(given).ok().filter(|weight| *weight <= 1_000_000).unwrap_or_else(|| {
            let message = format!("weight {given} is not a weight: use 0 to 1000000; until then this share is refused");
            self.findings.push(Finding::accepted(format!("{field}.weight"), UNSUPPORTED_VALUE, message));
            1
        })
    }
}

/// The experimental field is served by nobody yet here. Requests are still answered by the right backends, so the rule is served and says
/// so; refusing all of its requests would cost more than an affinity that is missing.
fn session_persistence(field: &str) -> Finding {
    let message = "sessionPersistence is not served: requests of one session may go to different endpoints; remove it if that is fine";
    Finding::warning(format!("{field}.sessionPersistence"), UNSUPPORTED_VALUE, message)
}

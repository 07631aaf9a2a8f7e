//! What a request meets: ports, listeners, hosts, paths. Built whole from a [`Config`], never changed afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::{HeaderMap, Method};
use regex::Regex;

use crate::config::{Config, Listener, Match, PathMatch, Protocol, Rule, Secret};
use crate::precedence::{HostRank, Precedence};
use crate::predicate::{Predicates, whole};
use crate::rule::{Backends, CompiledRule};
use crate::{Hostname, Token};

type Map<V> = HashMap<Box<str>, V, RandomState>;

/// Why a configuration cannot be used. The proxy keeps the last good one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{resource}: {problem}")]
pub struct CompileError {
    /// Kind and name of the resource.
    pub resource: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The part of a request that routing looks at.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// As [`crate::normalize_host`] gives it.
    pub host: &'r str,
    /// Method.
    pub method: &'r Method,
    /// Path, without query.
    pub path: &'r str,
    /// Query, without `?`.
    pub query: Option<&'r str>,
    /// Headers as received.
    pub headers: &'r HeaderMap,
}

/// All ports of a Gateway.
#[derive(Debug, Default)]
pub struct Table {
    ports: BTreeMap<u16, PortTable>,
    problems: Vec<CompileError>,
}

/// The listeners of one port.
#[derive(Debug)]
pub struct PortTable {
    /// What is spoken there.
    pub protocol: Protocol,
    listeners: HostMap<Arc<ListenerTable>>,
}

/// The routes of one listener.
#[derive(Debug)]
pub struct ListenerTable {
    /// Its name.
    pub name: String,
    /// Certificate chains and keys, PEM.
    pub certificates: Vec<(String, Token)>,
    hosts: HostMap<HostTable>,
}

/// Rules of one served host, by the specificity of the route hostname they came from.
type HostTable = Box<[PathTable]>;

#[derive(Debug, Default)]
struct PathTable {
    exact: Map<Box<[Entry]>>,
    regex: Box<[(Regex, Entry)]>,
    prefix: Map<Box<[Entry]>>,
    longest_prefix: usize,
    /// By method; any service.
    grpc: Map<Box<[Entry]>>,
}

#[derive(Debug)]
struct Entry {
    predicates: Option<Arc<Predicates>>,
    rule: Arc<CompiledRule>,
}

impl Table {
    /// Prepares a configuration for requests.
    pub fn compile(config: &Config) -> Result<Self, CompileError> {
        let backends = Backends::compile(config).map_err(|problem| CompileError { resource: "backends".into(), problem })?;
        let mut hosts = Builder::default();
        let mut problems = Vec::new();
        for (name, rule) in &config.rules {
            problems.extend(hosts.add(rule, &backends).map(|problem| CompileError { resource: format!("rule {name}"), problem }));
        }
        let mut ports: BTreeMap<u16, PortTable> = BTreeMap::new();
        for (name, listener) in &config.listeners {
            let table = Arc::new(ListenerTable {
                name: name.clone(),
                certificates: certificates(name, listener, config)?,
                hosts: hosts.take(name),
            });
            let port =
                ports.entry(listener.port).or_insert_with(|| PortTable { protocol: listener.protocol, listeners: HostMap::default() });
            if port.protocol != listener.protocol || port.listeners.insert(listener.hostname.as_ref(), table).is_some() {
                let problem = format!("another listener has port {} and the same hostname or another protocol", listener.port);
                return Err(CompileError { resource: format!("listener {name}"), problem });
            }
        }
        Ok(Self { ports, problems })
    }

    /// Rules that could not be compiled and refuse every request.
    pub fn problems(&self) -> &[CompileError] {
        &self.problems
    }

    /// The ports to accept on, and what is spoken there.
    pub fn ports(&self) -> impl Iterator<Item = (u16, &PortTable)> {
        self.ports.iter().map(|(port, table)| (*port, table))
    }

    /// The listeners of a port.
    pub fn port(&self, port: u16) -> Option<&PortTable> {
        self.ports.get(&port)
    }
}

impl PortTable {
    /// The one listener that serves a host: the most specific, and no other (listener isolation).
    pub fn listener(&self, host: &str) -> Option<&Arc<ListenerTable>> {
        self.listeners.candidates(host).next()
    }

    /// All listeners.
    pub fn listeners(&self) -> impl Iterator<Item = &Arc<ListenerTable>> {
        self.listeners.values()
    }
}

impl ListenerTable {
    /// The rule with the highest precedence among those that match, and how much of the path its prefix matched.
    pub fn find(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        self.hosts.candidates(head.host).flat_map(|host| host.iter()).find_map(|paths| paths.find(head))
    }
}

impl PathTable {
    fn find(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        let exact = || first(self.exact.get(head.path)?, head).map(|rule| (rule, head.path.len()));
        let regex = || {
            let entry = self.regex.iter().find(|(regex, entry)| regex.is_match(head.path) && entry.holds(head));
            entry.map(|(_, entry)| (&entry.rule, head.path.len()))
        };
        exact().or_else(regex).or_else(|| self.longest_prefix(head))
    }

    /// Walks up the path's elements; a stored prefix has no trailing slash, `/` is stored as the empty text.
    fn longest_prefix(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        let mut end = head.path.len();
        loop {
            if end == 0
                && let Some(rule) = self.grpc_method(head)
            {
                return Some((rule, head.path.len()));
            }
            if end <= self.longest_prefix {
                let entries = self.prefix.get(&head.path[..end]);
                if let Some(rule) = entries.and_then(|entries| first(entries, head)) {
                    return Some((rule, end));
                }
            }
            end = head.path.as_bytes()[..end].iter().rposition(|b| *b == b'/')?;
        }
    }
}

impl PathTable {
    fn grpc_method(&self, head: &Head<'_>) -> Option<&Arc<CompiledRule>> {
        if self.grpc.is_empty() {
            return None;
        }
        let (service, method) = head.path.strip_prefix('/')?.split_once('/')?;
        first(self.grpc.get(method).filter(|_| !service.is_empty())?, head)
    }
}

fn first<'t>(entries: &'t [Entry], head: &Head<'_>) -> Option<&'t Arc<CompiledRule>> {
    entries.iter().find(|entry| entry.holds(head)).map(|entry| &entry.rule)
}

impl Entry {
    fn holds(&self, head: &Head<'_>) -> bool {
        self.predicates.as_ref().is_none_or(|predicates| predicates.hold(head))
    }
}

fn certificates(name: &str, listener: &Listener, config: &Config) -> Result<Vec<(String, Token)>, CompileError> {
    let certificate = |secret: &String| match config.secrets.get(secret).map(|secret| &**secret) {
        Some(Secret::Certificate { chain, key }) => Ok((chain.clone(), key.clone())),
        Some(Secret::Token(_)) | None => {
            Err(CompileError { resource: format!("listener {name}"), problem: format!("secret {secret:?} is not a certificate") })
        }
    };
    listener.certificates.iter().map(certificate).collect()
}

/// Values by hostname, found from the most specific to the least.
#[derive(Debug)]
struct HostMap<T> {
    exact: Map<T>,
    /// By `.example.com`.
    wildcard: Map<T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: Map::default(), wildcard: Map::default(), any: None }
    }
}

impl<T> HostMap<T> {
    fn insert(&mut self, hostname: Option<&Hostname>, value: T) -> Option<T> {
        match hostname {
            None => self.any.replace(value),
            Some(hostname) => match hostname.wildcard_suffix() {
                Some(suffix) => self.wildcard.insert(suffix.into(), value),
                None => self.exact.insert(hostname.as_str().into(), value),
            },
        }
    }

    fn candidates<'m, 'h>(&'m self, host: &'h str) -> impl Iterator<Item = &'m T> + use<'m, 'h, T> {
        // A name has at most 127 labels; a longer host matches nothing that could be configured.
        let dots = host.bytes().enumerate().filter(|(at, b)| *b == b'.' && *at > 0).take(127);
        let wildcards = dots.filter(|_| !self.wildcard.is_empty()).filter_map(|(at, _)| self.wildcard.get(&host[at..]));
        self.exact.get(host).into_iter().chain(wildcards).chain(&self.any)
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.any)
    }
}

type Conditions = (Option<Arc<Predicates>>, Option<Regex>);

fn conditions(matched: &Match) -> Result<Conditions, String> {
    let pattern = match &matched.path {
        PathMatch::Regex(pattern) => Some(whole(pattern).map_err(|e| e.to_string())?),
        PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::GrpcMethod(_) => None,
    };
    Ok((Predicates::compile(matched)?.map(Arc::new), pattern))
}

/// Collects matches by listener, host and rank, before they are frozen.
#[derive(Default)]
struct Builder<'c> {
    listeners: BTreeMap<&'c str, BTreeMap<Option<&'c Hostname>, Ranked<'c>>>,
}

type Ranked<'c> = BTreeMap<HostRank, Vec<Candidate<'c>>>;

struct Candidate<'c> {
    precedence: Precedence<'c>,
    matched: &'c Match,
    predicates: Option<Arc<Predicates>>,
    /// Of a path that is an expression.
    pattern: Option<Regex>,
    compiled: Arc<CompiledRule>,
}

impl<'c> Builder<'c> {
    /// A rule that cannot be compiled is served as one that refuses; the problem is returned.
    fn add(&mut self, rule: &'c Arc<Rule>, backends: &Backends) -> Option<String> {
        let conditions: Result<Vec<_>, String> = rule.matches.iter().map(conditions).collect();
        let compiled = CompiledRule::compile(rule, backends);
        let (conditions, compiled, problem) = match (conditions, compiled) {
            (Ok(conditions), Ok(compiled)) => (conditions, compiled, None),
            (Err(problem), _) | (_, Err(problem)) => (vec![(None, None); rule.matches.len()], CompiledRule::refusing(rule), Some(problem)),
        };
        let compiled = Arc::new(compiled);
        for attachment in &rule.attachments {
            let hosts = self.listeners.entry(&attachment.listener).or_default();
            for pair in &attachment.hosts {
                let ranked = hosts.entry(pair.host.as_ref()).or_default().entry(HostRank::of(pair.original.as_ref())).or_default();
                ranked.extend(rule.matches.iter().zip(&conditions).enumerate().map(|(position, (matched, (predicates, pattern)))| {
                    Candidate {
                        precedence: Precedence::of(rule, position),
                        matched,
                        predicates: predicates.clone(),
                        pattern: pattern.clone(),
                        compiled: Arc::clone(&compiled),
                    }
                }));
            }
        }
        problem
    }

    fn take(&mut self, listener: &str) -> HostMap<HostTable> {
        let mut map = HostMap::default();
        for (host, ranked) in self.listeners.remove(listener).unwrap_or_default() {
            map.insert(host, ranked.into_values().map(PathTable::build).collect());
        }
        map
    }
}

impl PathTable {
    fn build(mut candidates: Vec<Candidate<'_>>) -> Self {
        candidates.sort_by(|a, b| a.precedence.cmp(&b.precedence));
        let (mut exact, mut prefix, mut grpc) = (Map::<Vec<Entry>>::default(), Map::<Vec<Entry>>::default(), Map::<Vec<Entry>>::default());
        let mut regex = Vec::new();
        for Candidate { matched, predicates, pattern, compiled, .. } in candidates {
            let entry = Entry { predicates, rule: compiled };
            match (&matched.path, pattern) {
                (PathMatch::Exact(path), _) => exact.entry(path.as_str().into()).or_default().push(entry),
                (PathMatch::Prefix(path), _) => prefix.entry(path.trim_end_matches('/').into()).or_default().push(entry),
                (PathMatch::GrpcMethod(method), _) => grpc.entry(method.as_str().into()).or_default().push(entry),
                (PathMatch::Regex(_), Some(pattern)) => regex.push((pattern, entry)),
                // An expression that cannot be compiled: its rule refuses, and might have meant any path.
                (PathMatch::Regex(_), None) => prefix.entry("".into()).or_default().push(entry),
            }
        }
        let longest_prefix = prefix.keys().map(|prefix| prefix.len()).max().unwrap_or_default();
        Self { exact: freeze(exact), regex: regex.into(), prefix: freeze(prefix), longest_prefix, grpc: freeze(grpc) }
    }
}

fn freeze(map: Map<Vec<Entry>>) -> Map<Box<[Entry]>> {
    let mut frozen: Map<_> = map.into_iter().map(|(key, entries)| (key, entries.into_boxed_slice())).collect();
    frozen.shrink_to_fit();
    frozen
}

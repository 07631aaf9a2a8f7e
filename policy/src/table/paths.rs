//! The rules of one host, by path: exact before expression before the longest prefix, and within a path by precedence.

use std::sync::Arc;

use regex::Regex;
use smallvec::SmallVec;

use crate::config::{Match, PathMatch};
use crate::precedence::Precedence;
use crate::predicate::Predicates;
use crate::rule::CompiledRule;
use crate::table::Head;
use crate::table::sharded::Sharded;

/// Rules with one and the same path, the winner first. Nearly always one.
type Entries = SmallVec<[Entry; 1]>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathTable {
    exact: Sharded<Entries>,
    prefix: Sharded<Entries>,
    longest_prefix: usize,
    /// Most hosts have none: what is absent takes a pointer.
    rare: Option<Box<RarePaths>>,
}

#[derive(Clone, Debug, Default)]
struct RarePaths {
    regex: Vec<(Arc<Regex>, Entry)>,
    /// By method; any service.
    grpc: Sharded<Entries>,
}

/// One match of a rule.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What must hold besides the path.
    pub(crate) predicates: Option<Arc<Predicates>>,
    pub(crate) rule: Arc<CompiledRule>,
    /// The match's position in the rule.
    pub(crate) position: usize,
}

/// Where a match belongs.
pub(crate) enum Slot<'m> {
    Exact(&'m str),
    /// Without trailing slash; `/` is the empty text.
    Prefix(&'m str),
    GrpcMethod(&'m str),
    Regex(&'m Arc<Regex>),
}

impl<'m> Slot<'m> {
    /// `pattern` is the compiled expression of a match that has one.
    pub(crate) fn of(matched: &'m Match, pattern: Option<&'m Arc<Regex>>) -> Self {
        match (&matched.path, pattern) {
            (PathMatch::Exact(path), _) => Self::Exact(path),
            (PathMatch::Prefix(path), _) => Self::Prefix(path.trim_end_matches('/')),
            (PathMatch::GrpcMethod(method), _) => Self::GrpcMethod(method),
            (PathMatch::Regex(_), Some(pattern)) => Self::Regex(pattern),
            // An expression that cannot be compiled: its rule refuses, and might have meant any path.
            (PathMatch::Regex(_), None) => Self::Prefix(""),
        }
    }
}

impl PathTable {
    /// The rule with the highest precedence among those that match, and how much of the path its prefix matched.
    pub(crate) fn find(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        let exact = || first(self.exact.get(head.path)?, head).map(|rule| (rule, head.path.len()));
        exact().or_else(|| self.expression(head)).or_else(|| self.longest_prefix(head))
    }

    fn expression(&self, head: &Head<'_>) -> Option<(&Arc<CompiledRule>, usize)> {
        let rare = self.rare.as_ref()?;
        let found = rare.regex.iter().find(|(regex, entry)| regex.is_match(head.path) && entry.holds(head));
        found.map(|(_, entry)| (&entry.rule, head.path.len()))
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

    fn grpc_method(&self, head: &Head<'_>) -> Option<&Arc<CompiledRule>> {
        let rare = self.rare.as_ref()?;
        let (service, method) = head.path.strip_prefix('/')?.split_once('/')?;
        first(rare.grpc.get(method).filter(|_| !service.is_empty())?, head)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rare.is_none() && self.exact.is_empty() && self.prefix.is_empty()
    }

    pub(crate) fn insert(&mut self, slot: &Slot<'_>, entry: Entry) {
        match slot {
            Slot::Exact(path) => entry.stand_among(self.exact.entry(path)),
            Slot::Prefix(path) => {
                self.longest_prefix = self.longest_prefix.max(path.len());
                entry.stand_among(self.prefix.entry(path));
            }
            Slot::GrpcMethod(method) => entry.stand_among(self.rare.get_or_insert_default().grpc.entry(method)),
            Slot::Regex(regex) => {
                let all = &mut self.rare.get_or_insert_default().regex;
                let at = all.partition_point(|(_, known)| known.order() <= entry.order());
                all.insert(at, (Arc::clone(regex), entry));
            }
        }
    }

    /// Takes out whatever a rule has in a slot.
    pub(crate) fn remove(&mut self, slot: &Slot<'_>, rule: &Arc<CompiledRule>) {
        match slot {
            Slot::Exact(path) => take_out(&mut self.exact, path, rule),
            Slot::Prefix(path) => {
                take_out(&mut self.prefix, path, rule);
                self.measure(path.len());
            }
            Slot::GrpcMethod(method) => {
                if let Some(rare) = &mut self.rare {
                    take_out(&mut rare.grpc, method, rule);
                }
            }
            Slot::Regex(_) => {
                if let Some(rare) = &mut self.rare {
                    rare.regex.retain(|(_, entry)| !Arc::ptr_eq(&entry.rule, rule));
                }
            }
        }
        let _ = self.rare.take_if(|rare| rare.regex.is_empty() && rare.grpc.is_empty());
    }

    /// Looks for the longest prefix anew, if one that long may have gone.
    fn measure(&mut self, gone: usize) {
        if gone == self.longest_prefix && !self.prefix.keys().any(|prefix| prefix.len() == gone) {
            self.longest_prefix = self.prefix.keys().map(str::len).max().unwrap_or_default();
        }
    }
}

fn first<'t>(entries: &'t [Entry], head: &Head<'_>) -> Option<&'t Arc<CompiledRule>> {
    entries.iter().find(|entry| entry.holds(head)).map(|entry| &entry.rule)
}

fn take_out(map: &mut Sharded<Entries>, key: &str, rule: &Arc<CompiledRule>) {
    let Some(entries) = map.get_mut(key) else { return };
    entries.retain(|entry| !Arc::ptr_eq(&entry.rule, rule));
    if entries.is_empty() {
        map.remove(key);
    }
}

impl Entry {
    fn holds(&self, head: &Head<'_>) -> bool {
        self.predicates.as_ref().is_none_or(|predicates| predicates.hold(head))
    }

    /// The smallest wins. Rules that the specification does not order stand by name, so that a table does not depend on its past.
    fn order(&self) -> (Precedence<'_>, &str) {
        (Precedence::of(self.rule.source(), self.position), self.rule.name())
    }

    fn stand_among(self, entries: &mut Entries) {
        let at = entries.partition_point(|known| known.order() <= self.order());
        entries.insert(at, self);
    }
}

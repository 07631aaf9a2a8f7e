//! A rule as a table takes it in: compiled, with what each of its matches tests.

use std::sync::Arc;

use regex::Regex;

use crate::config::{Match, PathMatch, Rule};
use crate::predicate::{Predicates, expression};
use crate::rule::{Backends, CompiledRule};
use crate::table::paths::{Entry, Slot};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) rule: Arc<CompiledRule>,
    /// One per match of the rule.
    conditions: Arc<[Condition]>,
}

#[derive(Clone, Debug, Default)]
struct Condition {
    /// Besides the path.
    predicates: Option<Arc<Predicates>>,
    /// Of a path that is an expression. Shared: each clone of a `Regex` would have caches of its own.
    pattern: Option<Arc<Regex>>,
}

impl Served {
    /// A rule that cannot be compiled is served as one that refuses; the problem is returned.
    pub(crate) fn compile(name: &Arc<str>, rule: &Arc<Rule>, backends: &Backends) -> (Self, Option<String>) {
        let conditions = rule.matches.iter().map(Condition::compile).collect();
        Self::with(name, rule, backends, conditions)
    }

    /// The same rule, with backends that have changed: expressions, which take long, are not compiled again.
    pub(crate) fn recompile(&self, name: &Arc<str>, backends: &Backends) -> (Self, Option<String>) {
        Self::with(name, self.rule.source(), backends, Ok(Arc::clone(&self.conditions)))
    }

    fn with(
        name: &Arc<str>,
        rule: &Arc<Rule>,
        backends: &Backends,
        conditions: Result<Arc<[Condition]>, String>,
    ) -> (Self, Option<String>) {
        match (conditions, CompiledRule::compile(name, rule, backends)) {
            (Ok(conditions), Ok(compiled)) => (Self { rule: Arc::new(compiled), conditions }, None),
            (Err(problem), _) | (_, Err(problem)) => {
                let conditions = vec![Condition::default(); rule.matches.len()].into();
                (Self { rule: Arc::new(CompiledRule::refusing(name, rule)), conditions }, Some(problem))
            }
        }
    }

    /// Where each match belongs, and what stands there.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Slot<'_>, Entry)> {
        let matches = self.rule.source().matches.iter().zip(&*self.conditions).enumerate();
        matches.map(|(position, (matched, condition))| {
            let entry = Entry { predicates: condition.predicates.clone(), rule: Arc::clone(&self.rule), position };
            (Slot::of(matched, condition.pattern.as_ref()), entry)
        })
    }
}

impl Condition {
    fn compile(matched: &Match) -> Result<Self, String> {
        let pattern = match &matched.path {
            PathMatch::Regex(pattern) => Some(Arc::new(expression(pattern)?)),
            PathMatch::Exact(_) | PathMatch::Prefix(_) | PathMatch::GrpcMethod(_) => None,
        };
        Ok(Self { predicates: Predicates::compile(matched)?.map(Arc::new), pattern })
    }
}

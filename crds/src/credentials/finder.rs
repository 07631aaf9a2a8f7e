//! Walks an object and remembers the way. It knows no kind.

use serde_json::Value;

use super::path::{FieldPath, Step};
use super::trace::Trace;
use super::{Fingerprint, LAST_APPLIED, Level, Reason, Violation};

/// Fields, one inside the other, such as `healthChecks[]`, `httpHealthCheck` and `path`. Of a list, each element is meant.
pub(super) type Way = &'static [&'static str];

/// So many violations of an object are listed; our CRD's bounds on pools allow about 3,000.
const MOST: usize = 10_000;

/// The way to a field is seldom longer.
const DEEP: usize = 16;

pub(super) struct Finder {
    path: Vec<Step>,
    copy: bool,
    found: Found,
}

/// What an object has.
#[derive(Default)]
pub(super) struct Found {
    /// In the order of their fields. If there are too many, one of them says so.
    pub(super) listed: Vec<Violation>,
    /// Those that are not listed.
    pub(super) unlisted: Vec<Trace>,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { path: Vec::with_capacity(DEEP), copy: false, found: Found::default() }
    }

    /// Notes that `value`, where the walk is now, is wrong.
    pub(super) fn push(&mut self, reason: Reason, value: &str) {
        // What is malformed or merely unwise in a copy does no harm there; a credential does.
        if self.copy && reason.level() != Level::Protected {
            return;
        }
        let violation = Violation { field: FieldPath(self.path.clone()), reason, value: Fingerprint::of(value), copy: self.copy };
        let Found { listed, unlisted } = &mut self.found;
        if listed.len() < MOST {
            listed.push(violation);
            return;
        }
        unlisted.push(Trace::of(&violation));
        if listed.len() == MOST {
            listed.push(Violation { reason: Reason::TooMany, ..violation });
        }
    }

    /// Notes something about a field of `parent`, if it has the field.
    pub(super) fn field(&mut self, parent: &Value, name: &'static str, look: impl FnOnce(&mut Self, &Value)) {
        if let Some(value) = parent.get(name).filter(|value| !value.is_null()) {
            self.within(Step::Field(name), |finder| look(finder, value));
        }
    }

    /// The same for each element of a list.
    fn each(&mut self, parent: &Value, name: &'static str, mut look: impl FnMut(&mut Self, &Value)) {
        self.field(parent, name, |finder, list| {
            for (index, element) in list.as_array().into_iter().flatten().enumerate() {
                finder.within(Step::Index(index), |finder| look(finder, element));
            }
        });
    }

    /// The same for whatever the ways lead to.
    pub(super) fn every(&mut self, parent: &Value, ways: &[Way], mut look: impl FnMut(&mut Self, &Value)) {
        for way in ways {
            self.follow(parent, way, &mut look);
        }
    }

    fn follow(&mut self, parent: &Value, way: Way, look: &mut impl FnMut(&mut Self, &Value)) {
        let Some((first, rest)) = way.split_first() else { return look(self, parent) };
        let go_on = |finder: &mut Self, value: &Value| finder.follow(value, rest, look);
        match first.strip_suffix("[]") {
            Some(list) => self.each(parent, list, go_on),
            None => self.field(parent, first, go_on),
        }
    }

    pub(super) fn within(&mut self, step: Step, look: impl FnOnce(&mut Self)) {
        self.path.push(step);
        look(self);
        self.path.pop();
    }

    /// What is found now is in the last-applied copy.
    pub(super) fn in_copy(&mut self, look: impl FnOnce(&mut Self)) {
        let steps = [Step::Field("metadata"), Step::Field("annotations"), Step::Key(LAST_APPLIED)];
        self.copy = true;
        self.path.extend(steps);
        look(self);
        self.path.clear();
        self.copy = false;
    }

    /// The order of an object's keys is none of its meaning.
    pub(super) fn found(self) -> Found {
        let Found { mut listed, unlisted } = self.found;
        listed.sort_by(|a, b| (a.copy, &a.field, a.reason).cmp(&(b.copy, &b.field, b.reason)));
        Found { listed, unlisted }
    }
}

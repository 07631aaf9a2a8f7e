//! Walks an object and remembers the way. It knows no kind.

use serde_json::Value;

use super::path::{FieldPath, Step};
use super::{Fingerprint, LAST_APPLIED, Level, Reason, Violation};

/// So many violations are kept of an object; our CRD's bounds on pools allow about 3,000.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Finder {
    path: Vec<Step>,
    copy: bool,
    found: Vec<Violation>,
}

impl Finder {
    /// Notes that `value`, where the walk is now, is wrong.
    pub(super) fn push(&mut self, reason: Reason, value: &str) {
        // What is malformed or merely unwise in a copy does no harm there; a credential does.
        if self.copy && reason.level() != Level::Protected {
            return;
        }
        let reason = match self.found.len() {
            kept if kept < MOST => reason,
            MOST => Reason::TooMany,
            _ => return,
        };
        let field = FieldPath(self.path.clone());
        self.found.push(Violation { field, reason, value: Fingerprint::of(value), copy: self.copy });
    }

    /// Notes something about a field of `parent`, if it has the field.
    pub(super) fn field(&mut self, parent: &Value, name: &'static str, look: impl FnOnce(&mut Self, &Value)) {
        if let Some(value) = parent.get(name).filter(|value| !value.is_null()) {
            self.within(Step::Field(name), |finder| look(finder, value));
        }
    }

    /// The same for each element of a list.
    pub(super) fn each(&mut self, parent: &Value, name: &'static str, mut look: impl FnMut(&mut Self, &Value)) {
        self.field(parent, name, |finder, list| {
            for (index, element) in list.as_array().into_iter().flatten().enumerate() {
                finder.within(Step::Index(index), |finder| look(finder, element));
            }
        });
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
    pub(super) fn found(mut self) -> Vec<Violation> {
        self.found.sort_by(|a, b| (a.copy, &a.field, a.reason).cmp(&(b.copy, &b.field, b.reason)));
        self.found
    }
}

//! What a change brings in. An object from before a rule stays editable; a violation may stay, move within its list or go, and only a new
//! or changed one counts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finder::Found;
use super::trace::Trace;
use super::{Fingerprint, Reason, Violation, find};

/// The violations of an object, parted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// New or changed.
    pub introduced: Vec<Violation>,
    /// As in the old object.
    pub unchanged: Vec<Violation>,
}

impl Compared {
    /// Whether the object has none at all.
    pub fn is_empty(&self) -> bool {
        self.introduced.is_empty() && self.unchanged.is_empty()
    }
}

/// Parts the violations of an object by its old state, if it has one.
pub fn compare(object: &Value, old: Option<&Value>) -> Compared {
    let Found { listed, unlisted } = find(object);
    let Some(old) = old.filter(|_| !listed.is_empty()) else { return Compared { introduced: listed, unchanged: Vec::new() } };
    let mut known = Known::of(old);
    let (unchanged, introduced) = listed.into_iter().partition(|violation| match violation.reason == Reason::TooMany {
        true => unlisted.iter().all(|trace| known.excuses(*trace)),
        false => known.excuses(Trace::of(violation)),
    });
    Compared { introduced, unchanged }
}

/// What the old object had.
#[derive(Default)]
struct Known {
    /// In its own fields, how often: a second copy of a token is new.
    fields: BTreeMap<Fingerprint, usize>,
    /// Anywhere.
    anywhere: BTreeSet<Fingerprint>,
}

impl Known {
    fn of(old: &Value) -> Self {
        let mut known = Self::default();
        let Found { listed, unlisted } = find(old);
        for Trace { identity, copy } in listed.iter().map(Trace::of).chain(unlisted) {
            if !copy {
                *known.fields.entry(identity).or_default() += 1;
            }
            known.anywhere.insert(identity);
        }
        known
    }

    /// A copy shows nothing that the old object did not show already. The other way round it does: a token that only the old copy had
    /// would be in use again.
    fn excuses(&mut self, Trace { identity, copy }: Trace) -> bool {
        if copy {
            return self.anywhere.contains(&identity);
        }
        match self.fields.get_mut(&identity) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

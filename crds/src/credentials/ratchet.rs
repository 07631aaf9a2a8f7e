//! What a change brings in. An object from before a rule stays editable; a violation may stay, move within its list or go, and only a new
//! or changed one counts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Fingerprint, LAST_APPLIED, Reason, Violation, inline_credentials};

/// The violations of an object, parted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// New or changed.
    pub introduced: Vec<Violation>,
    /// As in the old object.
    pub unchanged: Vec<Violation>,
}

/// Parts the violations of an object by its old state, if it has one.
pub fn compare(found: Vec<Violation>, old: Option<&Value>) -> Compared {
    let mut known = Known::of(old);
    let (unchanged, introduced) = found.into_iter().partition(|violation| known.excuses(violation));
    Compared { introduced, unchanged }
}

/// Reason, names of the way without the places in lists, value.
type Identity = (Reason, Vec<&'static str>, Fingerprint);

/// What the old object had.
#[derive(Default)]
struct Known {
    /// In its own fields, how often: a second copy of a token is new.
    fields: BTreeMap<Identity, usize>,
    /// Anywhere.
    anywhere: BTreeSet<Identity>,
}

impl Known {
    fn of(old: Option<&Value>) -> Self {
        let mut known = Self::default();
        for violation in old.map(inline_credentials).unwrap_or_default() {
            let identity = identity(&violation);
            if !violation.copy {
                *known.fields.entry(identity.clone()).or_default() += 1;
            }
            known.anywhere.insert(identity);
        }
        known
    }

    /// A copy shows nothing that the old object did not show already. The other way round it does: a token that only the old copy had
    /// would be in use again.
    fn excuses(&mut self, violation: &Violation) -> bool {
        let identity = identity(violation);
        // What is not listed cannot be compared.
        if violation.reason == Reason::TooMany {
            return false;
        }
        if violation.copy {
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

/// The same for a field and for its copy.
fn identity(violation: &Violation) -> Identity {
    let names = violation.field.names();
    let start = names.iter().position(|name| *name == LAST_APPLIED).map_or(0, |at| at + 1);
    (violation.reason, names.into_iter().skip(start).collect(), violation.value)
}

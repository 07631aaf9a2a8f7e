//! What remains of a violation when its place in a list does not count: enough to tell whether an object had it before, and so little that
//! those of an overlong list can all be kept.

use sha2::{Digest, Sha256};

use super::{Fingerprint, LAST_APPLIED, Violation};

/// The trace of a violation.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    /// Of the reason, the names of the way and the value. The same for a field and for its copy.
    pub(super) identity: Fingerprint,
    /// True inside the last-applied copy.
    pub(super) copy: bool,
}

impl Trace {
    pub(super) fn of(violation: &Violation) -> Self {
        let names = violation.field.names();
        let start = names.iter().position(|name| *name == LAST_APPLIED).map_or(0, |at| at + 1);
        let mut hash = Sha256::new_with_prefix(violation.reason.as_str());
        for name in names.into_iter().skip(start) {
            hash.update(b"\0");
            hash.update(name);
        }
        hash.update(violation.value.0);
        Self { identity: Fingerprint(hash.finalize().into()), copy: violation.copy }
    }
}

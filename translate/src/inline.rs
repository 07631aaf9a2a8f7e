//! Credentials that stand in manifests already: how many an object has and where the first is, never what they are. Whoever reads objects
//! finds them, since the copy that `kubectl apply` keeps is not among what is translated; what is said of them depends on the namespace.

use crds::credentials::{FieldPath, Level, Levels, Reason, inline_credentials};
use serde_json::Value;

use crate::finding::Finding;
use crate::{Kind, RouteKind};

/// Kinds that may have some.
pub(crate) const KINDS: [Kind; 3] = [Kind::Upstream, Kind::Route(RouteKind::Http), Kind::Route(RouteKind::Grpc)];

/// The inline credentials of one object; by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineCredentials {
    count: usize,
    /// Where the first is, and what it is.
    first: Option<(FieldPath, Reason)>,
}

/// The inline credentials of all objects of a kind in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlineCount {
    /// What the namespace enforces now.
    pub level: Level,
    /// How many there are.
    pub count: usize,
}

impl InlineCredentials {
    /// Whether objects of a kind are worth a look.
    pub fn may_be_in(kind: Kind) -> bool {
        KINDS.contains(&kind)
    }

    /// Those of an object as the API server has it, with its last-applied copy.
    pub fn of(object: &Value) -> Self {
        let mut exposed = inline_credentials(object).into_iter().filter(|violation| violation.reason.exposes());
        let first = exposed.next().map(|violation| (violation.field, violation.reason));
        Self { count: usize::from(first.is_some()) + exposed.count(), first }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// What is said of an object's inline credentials in a namespace with these levels. An object from before a label came stays and works, so
/// that it is only a warning.
pub(crate) fn finding(found: &InlineCredentials, namespace: &str, levels: Levels) -> Option<Finding> {
    let (field, reason) = found.first.as_ref().filter(|_| levels.enforce.max(levels.audit) >= Level::Protected)?;
    let more = match found.count.saturating_sub(1) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let level = match levels.enforce {
        Level::Open => format!("namespace {namespace} allows it"),
        level => format!("namespace {namespace} is {level} now and would refuse it, yet it was there before"),
    };
    let words = reason.words();
    let message = format!("{words}{more}; {level}. Whoever may read this object has it: move it into a Secret, and rotate it");
    Some(Finding::inline(field.to_string(), reason.as_str(), message))
}

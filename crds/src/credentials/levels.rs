//! What a namespace's labels say of its levels: one for what is refused, one for what is warned of, one for what is recorded.

use std::collections::BTreeMap;

use super::Level;

/// What is refused.
pub const ENFORCE: &str = "credentials.keyward.dev/enforce";
/// What the writer of an object is warned of.
pub const WARN: &str = "credentials.keyward.dev/warn";
/// What the audit log and the operator's audit record.
pub const AUDIT: &str = "credentials.keyward.dev/audit";

/// One level for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// What is refused.
    pub enforce: Level,
    /// What is warned of.
    pub warn: Level,
    /// What is recorded.
    pub audit: Level,
}

impl Default for Levels {
    /// Nobody is held up by an install; everybody learns what would be.
    fn default() -> Self {
        Self { enforce: Level::Open, warn: Level::Protected, audit: Level::Protected }
    }
}

/// What a namespace's labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// With defaults for what is not said.
    pub levels: Levels,
    /// Labels whose value is no level. They count as the strictest: a slip of the pen must not open a namespace.
    pub odd: Vec<&'static str>,
}

impl Levels {
    /// Those of a namespace with these labels; `self` are the defaults.
    pub fn labelled(self, labels: &BTreeMap<String, String>) -> Labelled {
        let mut odd = Vec::new();
        let mut level = |label: &'static str, default: Level| match labels.get(label).map(|value| value.parse()) {
            None => default,
            Some(Ok(level)) => level,
            Some(Err(_)) => {
                odd.push(label);
                Level::Restricted
            }
        };
        let levels = Self { enforce: level(ENFORCE, self.enforce), warn: level(WARN, self.warn), audit: level(AUDIT, self.audit) };
        Labelled { levels, odd }
    }
}

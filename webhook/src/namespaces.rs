//! How strict each namespace is: its labels, and the cluster's defaults where it has none. Pure; `follow` fills it.

use std::collections::BTreeMap;

use crds::credentials::Level;

/// What is refused.
pub const ENFORCE: &str = "credentials.keyward.dev/enforce";
/// What the writer of an object is warned of.
pub const WARN: &str = "credentials.keyward.dev/warn";
/// What the audit log records.
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

/// Every namespace.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// For what is in no namespace, too.
    unlabelled: Labelled,
    synced: bool,
    known: BTreeMap<String, Labelled>,
}

impl Namespaces {
    /// None known yet.
    pub fn new(defaults: Levels) -> Self {
        Self { unlabelled: Labelled { levels: defaults, odd: Vec::new() }, synced: false, known: BTreeMap::new() }
    }

    /// Whether every namespace that exists has been seen.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The levels of a namespace; `None` when it is not known, or when it is not known whether what is known is all.
    pub fn get(&self, name: &str) -> Option<&Labelled> {
        match name {
            "" => Some(&self.unlabelled),
            _ => self.known.get(name).filter(|_| self.synced),
        }
    }

    /// Whether a namespace must be newer than all that is known.
    pub fn lacks(&self, name: &str) -> bool {
        self.synced && self.get(name).is_none()
    }

    /// A namespace is there.
    pub fn insert(&mut self, name: String, labels: &BTreeMap<String, String>) {
        let labelled = self.read(labels);
        self.known.insert(name, labelled);
    }

    /// A namespace is gone.
    pub fn remove(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// These are all.
    pub fn replace(&mut self, all: Vec<(String, BTreeMap<String, String>)>) {
        self.known = all.into_iter().map(|(name, labels)| (name, self.read(&labels))).collect();
        self.synced = true;
    }

    fn read(&self, labels: &BTreeMap<String, String>) -> Labelled {
        let mut odd = Vec::new();
        let mut level = |label: &'static str, default: Level| match labels.get(label).map(|value| value.parse()) {
            None => default,
            Some(Ok(level)) => level,
            Some(Err(_)) => {
                odd.push(label);
                Level::Restricted
            }
        };
        let defaults = self.unlabelled.levels;
        let levels =
            Levels { enforce: level(ENFORCE, defaults.enforce), warn: level(WARN, defaults.warn), audit: level(AUDIT, defaults.audit) };
        Labelled { levels, odd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_go_over_defaults_and_a_slip_counts_as_the_strictest() {
        let mut namespaces = Namespaces::new(Levels::default());
        namespaces.replace(vec![
            ("plain".to_owned(), labels(&[])),
            ("strict".to_owned(), labels(&[(ENFORCE, "protected"), (WARN, "open")])),
            ("slip".to_owned(), labels(&[(ENFORCE, "Protected")])),
        ]);
        assert_eq!(namespaces.get("plain").map(|one| one.levels), Some(Levels::default()));
        let strict = Levels { enforce: Level::Protected, warn: Level::Open, audit: Level::Protected };
        assert_eq!(namespaces.get("strict"), Some(&Labelled { levels: strict, odd: Vec::new() }));
        assert_eq!(namespaces.get("slip").map(|one| (one.levels.enforce, one.odd.clone())), Some((Level::Restricted, vec![ENFORCE])));
    }

    #[test]
    fn says_nothing_before_everything_is_known() {
        let mut namespaces = Namespaces::new(Levels::default());
        namespaces.insert("early".to_owned(), &labels(&[]));
        assert_eq!(namespaces.get("early"), None);
        namespaces.replace(vec![("early".to_owned(), labels(&[]))]);
        assert!(namespaces.get("early").is_some() && namespaces.get("other").is_none());
        namespaces.remove("early");
        assert_eq!(namespaces.get("early"), None);
    }
}

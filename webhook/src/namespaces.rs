//! How strict each namespace is: its labels, and the cluster's defaults where it has none. Pure; `follow` fills it.

use std::collections::BTreeMap;

pub use crds::credentials::{Labelled, Levels};

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

    /// Whether a namespace must be newer than all that is known, and worth a look-up. What cannot be the name of one goes into no path.
    pub fn lacks(&self, name: &str) -> bool {
        self.synced && self.get(name).is_none() && is_label(name)
    }

    /// A namespace was found by a look-up. What the watch has told meanwhile is newer.
    pub fn meet(&mut self, name: String, labels: &BTreeMap<String, String>) {
        let labelled = self.unlabelled.levels.labelled(labels);
        self.known.entry(name).or_insert(labelled);
    }

    /// A namespace is there, the watch says.
    pub fn insert(&mut self, name: String, labels: &BTreeMap<String, String>) {
        let labelled = self.unlabelled.levels.labelled(labels);
        self.known.insert(name, labelled);
    }

    /// A namespace is gone.
    pub fn remove(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// These are all.
    pub fn replace(&mut self, all: Vec<(String, BTreeMap<String, String>)>) {
        let defaults = self.unlabelled.levels;
        self.known = all.into_iter().map(|(name, labels)| (name, defaults.labelled(&labels))).collect();
        self.synced = true;
    }
}

/// A label as RFC 1123 has it: the names of namespaces are such.
fn is_label(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(sound) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::credentials::{ENFORCE, Level, WARN};

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

    #[test]
    fn the_watch_goes_over_a_look_up_and_not_the_other_way_round() {
        let mut namespaces = Namespaces::new(Levels::default());
        namespaces.replace(Vec::new());
        let enforces = |namespaces: &Namespaces| namespaces.get("new").map(|one| one.levels.enforce);
        namespaces.meet("new".to_owned(), &labels(&[]));
        assert_eq!(enforces(&namespaces), Some(Level::Open));
        namespaces.insert("new".to_owned(), &labels(&[(ENFORCE, "protected")]));
        assert_eq!(enforces(&namespaces), Some(Level::Protected));
        namespaces.meet("new".to_owned(), &labels(&[]));
        assert_eq!(enforces(&namespaces), Some(Level::Protected), "the answer to a look-up came late");
    }

    #[test]
    fn only_what_can_be_the_name_of_a_namespace_is_looked_up() {
        let mut namespaces = Namespaces::new(Levels::default());
        assert!(!namespaces.lacks("team"), "nothing is known yet");
        namespaces.replace(vec![("known".to_owned(), labels(&[]))]);
        for name in ["team", "team-2", "0", &"n".repeat(63)] {
            assert!(namespaces.lacks(name), "{name}");
        }
        for name in ["", "known", "a/../b", "team?watch=true", "Team", "a.b", "-a", "a-", "téam", &"n".repeat(64)] {
            assert!(!namespaces.lacks(name), "{name}");
        }
    }
}

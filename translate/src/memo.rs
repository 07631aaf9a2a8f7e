//! Values that are made once, and again only when something that they looked at changes. It knows nothing of what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::objects::Dep;

/// Values by key, each with what it looked at. Keys are shared: many values look at one thing, and one at many.
pub(crate) struct Memo<K, V> {
    known: BTreeMap<Arc<K>, Known<V>>,
    users: BTreeMap<Arc<Dep>, BTreeSet<Arc<K>>>,
    stale: BTreeSet<K>,
}

struct Known<V> {
    value: V,
    deps: Box<[Arc<Dep>]>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), users: BTreeMap::new(), stale: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, V> Memo<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key).map(|known| &known.value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.known.get_mut(key).map(|known| &mut known.value)
    }

    /// What the value is made of, changed.
    pub(crate) fn touch(&mut self, key: K) {
        self.stale.insert(key);
    }

    /// All values are to be made anew.
    pub(crate) fn touch_all(&mut self) {
        self.stale.extend(self.known.keys().map(|key| K::clone(key)));
    }

    /// Something that values may have looked at, changed.
    pub(crate) fn changed(&mut self, dep: &Dep) {
        self.stale.extend(self.users.get(dep).into_iter().flatten().map(|key| K::clone(key)));
    }

    /// The keys of values that are to be made anew.
    pub(crate) fn take_stale(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.stale)
    }

    /// Sets a value and what it looked at, or drops it; gives the one before.
    pub(crate) fn put(&mut self, key: K, made: Option<(V, BTreeSet<Dep>)>) -> Option<V> {
        let before = self.known.remove(&key);
        if let Some(Known { deps, .. }) = &before {
            self.forget(&key, deps);
        }
        if let Some((value, deps)) = made {
            let key = Arc::new(key);
            let deps = deps.into_iter().map(|dep| self.remember(&key, dep)).collect();
            self.known.insert(key, Known { value, deps });
        }
        before.map(|known| known.value)
    }

    /// Gives the one copy of what is looked at.
    fn remember(&mut self, key: &Arc<K>, dep: Dep) -> Arc<Dep> {
        let dep = match self.users.get_key_value(&dep) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(dep),
        };
        self.users.entry(Arc::clone(&dep)).or_default().insert(Arc::clone(key));
        dep
    }

    fn forget(&mut self, key: &K, deps: &[Arc<Dep>]) {
        for dep in deps {
            if let Some(users) = self.users.get_mut(dep) {
                users.remove(key);
                if users.is_empty() {
                    self.users.remove(dep);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, ObjectKey};

    fn dep(name: &str) -> Dep {
        Dep(Kind::Secret, ObjectKey::new("ns", name))
    }

    #[test]
    fn a_value_is_stale_when_what_it_looked_at_last_changes() {
        let mut memo = Memo::default();
        memo.put("a", Some((1, BTreeSet::from([dep("x")]))));
        memo.put("b", Some((1, BTreeSet::from([dep("y")]))));
        memo.changed(&dep("x"));
        assert_eq!(memo.take_stale(), BTreeSet::from(["a"]));
        assert_eq!(memo.put("a", Some((2, BTreeSet::from([dep("y")])))), Some(1));
        memo.changed(&dep("x"));
        assert!(memo.take_stale().is_empty());
        memo.changed(&dep("y"));
        assert_eq!(memo.take_stale(), BTreeSet::from(["a", "b"]));
    }

    #[test]
    fn forgets_what_a_dropped_value_looked_at() {
        let mut memo = Memo::default();
        memo.put("a", Some((1, BTreeSet::from([dep("x")]))));
        assert_eq!(memo.put("a", None), Some(1));
        memo.changed(&dep("x"));
        assert!(memo.take_stale().is_empty() && memo.users.is_empty());
    }
}

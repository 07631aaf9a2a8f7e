//! A map by text that is read as fast as a hash map and copied in pieces: a change of one entry copies the piece it is in, and shares
//! the others with whoever holds the map as it was. Never locked: readers hold their own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

type Map<V> = HashMap<Box<str>, V, RandomState>;

/// Entries of a piece at which the map spreads over twice as many. Copying so many takes two or three microseconds.
const PIECE: usize = 64;

/// See the module.
#[derive(Clone)]
pub(crate) enum Sharded<V> {
    /// In one piece, and no more to look up than in a plain map: most hosts have few paths, most listeners few hosts.
    One(Map<V>),
    /// In a power of two.
    Many {
        /// The pieces.
        shards: Box<[Arc<Map<V>>]>,
        /// Says which piece a key is in.
        hasher: RandomState,
    },
}

impl<V> Default for Sharded<V> {
    fn default() -> Self {
        Self::One(Map::default())
    }
}

impl<V> Sharded<V> {
    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        match self {
            Self::One(map) => map.get(key),
            Self::Many { shards, hasher } => shards[place(hasher, key, shards.len())].get(key),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.maps().all(HashMap::is_empty)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.maps().flat_map(HashMap::keys).map(|key| &**key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.maps().flat_map(HashMap::values)
    }

    fn maps(&self) -> impl Iterator<Item = &Map<V>> {
        let (one, many): (Option<&Map<V>>, &[Arc<Map<V>>]) = match self {
            Self::One(map) => (Some(map), Default::default()),
            Self::Many { shards, .. } => (None, &**shards),
        };
        one.into_iter().chain(many.iter().map(|shard| &**shard))
    }
}

impl<V: Clone> Sharded<V> {
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        self.piece(key).get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: &str, value: V) -> Option<V> {
        if self.piece(key).len() >= PIECE {
            self.spread();
        }
        self.piece(key).insert(key.into(), value)
    }

    /// The value of a key, made where there is none.
    pub(crate) fn entry(&mut self, key: &str) -> &mut V
    where
        V: Default,
    {
        let piece = self.piece(key);
        if piece.len() >= PIECE && !piece.contains_key(key) {
            self.spread();
        }
        self.piece(key).entry(key.into()).or_default()
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        self.piece(key).remove(key)
    }

    /// The piece that holds a key, for this map alone.
    fn piece(&mut self, key: &str) -> &mut Map<V> {
        match self {
            Self::One(map) => map,
            Self::Many { shards, hasher } => {
                let at = place(hasher, key, shards.len());
                Arc::make_mut(&mut shards[at])
            }
        }
    }

    fn spread(&mut self) {
        let maps: Vec<Map<V>> = match std::mem::take(self) {
            Self::One(map) => vec![map],
            Self::Many { shards, .. } => shards.into_vec().into_iter().map(Arc::unwrap_or_clone).collect(),
        };
        let hasher = RandomState::default();
        let mut spread: Vec<Map<V>> = (0..2 * maps.len()).map(|_| Map::default()).collect();
        let count = spread.len();
        for (key, value) in maps.into_iter().flatten() {
            spread[place(&hasher, &key, count)].insert(key, value);
        }
        *self = Self::Many { shards: spread.into_iter().map(Arc::new).collect(), hasher };
    }
}

/// `count` is a power of two.
fn place(hasher: &RandomState, key: &str, count: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
    let hash = hasher.hash_one(key) as usize;
    hash & (count - 1)
}

/// In the order of the keys, whatever the pieces.
impl<V: fmt::Debug> fmt::Debug for Sharded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted: BTreeMap<&str, &V> = self.maps().flatten().map(|(key, value)| (&**key, value)).collect();
        f.debug_map().entries(sorted).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(count: usize) -> Sharded<usize> {
        let mut map = Sharded::default();
        for nth in 0..count {
            assert_eq!(map.insert(&format!("key-{nth}"), nth), None);
        }
        map
    }

    #[test]
    fn a_change_copies_one_small_piece_and_shares_the_rest() {
        let before = filled(10_000);
        let mut after = before.clone();
        *after.entry("key-77") += 1;
        let (Sharded::Many { shards: old, .. }, Sharded::Many { shards: new, .. }) = (&before, &after) else { panic!("not spread") };
        let copied: Vec<_> = old.iter().zip(new).filter(|(old, new)| !Arc::ptr_eq(old, new)).collect();
        assert_eq!(copied.len(), 1);
        assert!(old.iter().all(|shard| shard.len() <= PIECE) && old.len() <= 1024, "{} pieces", old.len());
        assert_eq!((before.get("key-77"), after.get("key-77")), (Some(&77), Some(&78)));
    }

    #[test]
    fn prints_the_same_however_it_grew() {
        let (mut large, small) = (filled(200), filled(3));
        for nth in 3..200 {
            assert_eq!(large.remove(&format!("key-{nth}")), Some(nth));
        }
        assert_eq!(format!("{large:?}"), format!("{small:?}"));
        assert!(!large.is_empty() && Sharded::<usize>::default().is_empty());
    }

    proptest! {
        #[test]
        fn holds_what_a_map_holds(changes in prop::collection::vec(("[a-d]{1,4}", any::<Option<u8>>()), 0..400)) {
            let (mut sharded, mut plain) = (Sharded::default(), BTreeMap::new());
            for (key, value) in changes {
                match value {
                    Some(value) => prop_assert_eq!(sharded.insert(&key, value), plain.insert(key, value)),
                    None => prop_assert_eq!(sharded.remove(&key), plain.remove(&key)),
                }
            }
            prop_assert_eq!(format!("{sharded:?}"), format!("{plain:?}"));
            prop_assert_eq!(sharded.keys().count(), plain.len());
        }
    }
}

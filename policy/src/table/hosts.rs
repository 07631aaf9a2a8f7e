//! Values by hostname, found from the most specific to the least.

use crate::Hostname;
use crate::table::sharded::Sharded;

/// See the module. `None` as a hostname stands for every host.
#[derive(Clone, Debug)]
pub(crate) struct HostMap<T> {
    exact: Sharded<T>,
    /// By `.example.com`.
    wildcard: Sharded<T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: Sharded::default(), wildcard: Sharded::default(), any: None }
    }
}

impl<T> HostMap<T> {
    pub(crate) fn candidates<'m, 'h>(&'m self, host: &'h str) -> impl Iterator<Item = &'m T> + use<'m, 'h, T> {
        // A name has at most 127 labels; a longer host matches nothing that could be configured.
        let dots = host.bytes().enumerate().filter(|(at, b)| *b == b'.' && *at > 0).take(127);
        let wildcards = dots.filter(|_| !self.wildcard.is_empty()).filter_map(|(at, _)| self.wildcard.get(&host[at..]));
        self.exact.get(host).into_iter().chain(wildcards).chain(&self.any)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.wildcard.values()).chain(&self.any)
    }
}

impl<T: Clone> HostMap<T> {
    pub(crate) fn insert(&mut self, hostname: Option<&Hostname>, value: T) -> Option<T> {
        match self.named(hostname) {
            None => self.any.replace(value),
            Some((map, key)) => map.insert(key, value),
        }
    }

    pub(crate) fn get_mut(&mut self, hostname: Option<&Hostname>) -> Option<&mut T> {
        match hostname {
            None => self.any.as_mut(),
            Some(_) => self.named(hostname).and_then(|(map, key)| map.get_mut(key)),
        }
    }

    /// The value of a hostname, made where there is none.
    pub(crate) fn entry(&mut self, hostname: Option<&Hostname>) -> &mut T
    where
        T: Default,
    {
        match hostname {
            None => self.any.get_or_insert_default(),
            Some(hostname) => match hostname.wildcard_suffix() {
                Some(suffix) => self.wildcard.entry(suffix),
                None => self.exact.entry(hostname.as_str()),
            },
        }
    }

    pub(crate) fn remove(&mut self, hostname: Option<&Hostname>) -> Option<T> {
        match hostname {
            None => self.any.take(),
            Some(_) => self.named(hostname).and_then(|(map, key)| map.remove(key)),
        }
    }

    /// The map that a hostname belongs to, and its key there.
    fn named<'k>(&mut self, hostname: Option<&'k Hostname>) -> Option<(&mut Sharded<T>, &'k str)> {
        let hostname = hostname?;
        Some(match hostname.wildcard_suffix() {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, hostname.as_str()),
        })
    }
}

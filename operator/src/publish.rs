//! What every Gateway's proxies are to have now, and what changed since when: the source of all config streams. It does no IO.
//!
//! Each change of a Gateway's resources takes the next revision. A resource is listed under its latest revision only, so that what
//! changed since a revision is found without looking at what did not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use policy::wire::{Named, encode_one};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use translate::{ConfigChange, ObjectKey};

/// So many removals are remembered at least; a stream that is further behind starts anew.
const REMOVALS: usize = 4096;

/// All Gateways' configurations.
#[derive(Default)]
pub(crate) struct Publisher {
    gateways: Mutex<BTreeMap<ObjectKey, Arc<Published>>>,
    accounts: Mutex<BTreeMap<ObjectKey, ObjectKey>>,
}

/// One Gateway's configuration, shared by its streams.
pub(crate) struct Published {
    resources: Mutex<Resources>,
    revision: watch::Sender<u64>,
}

#[derive(Default)]
struct Resources {
    current: HashMap<String, Entry>,
    /// Names by the revision of their latest change. One change of many resources takes many revisions, told at once.
    log: BTreeMap<u64, String>,
    removed: usize,
    last: u64,
    /// Revisions up to this one are forgotten.
    horizon: u64,
    digest: String,
}

/// `None`: removed.
struct Entry {
    revision: u64,
    resource: Option<(Named, String)>,
}

/// What a stream is to be told.
#[derive(Default)]
pub(crate) struct Batch {
    /// With their versions. Not printable: tokens are in clear once encoded.
    pub(crate) upsert: Vec<(Named, String)>,
    pub(crate) remove: Vec<String>,
    /// The stream has everything up to here when it acknowledges.
    pub(crate) revision: u64,
    /// Of the listeners and certificates of that revision.
    pub(crate) digest: String,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.upsert.is_empty() && self.remove.is_empty()
    }
}

/// The stream is too far behind to be told the difference.
#[derive(Debug)]
pub(crate) struct TooFarBehind;

impl Publisher {
    /// Takes over a change. Streams that follow the Gateway wake up.
    pub(crate) fn apply(&self, gateway: &ObjectKey, change: ConfigChange) {
        match change {
            ConfigChange::Gone => drop(self.gateways.lock().remove(gateway)),
            ConfigChange::Delta { upsert, remove, listeners_digest } => {
                let published = Arc::clone(self.gateways.lock().entry(gateway.clone()).or_default());
                published.apply(upsert, remove, listeners_digest);
            }
        }
    }

    /// From now on this ServiceAccount, and no other, may have the configuration of this Gateway.
    pub(crate) fn admit(&self, account: ObjectKey, gateway: ObjectKey) {
        let mut accounts = self.accounts.lock();
        accounts.retain(|_, admitted| *admitted != gateway);
        accounts.insert(account, gateway);
    }

    /// No ServiceAccount has the configuration of this Gateway any more.
    pub(crate) fn expel(&self, gateway: &ObjectKey) {
        self.accounts.lock().retain(|_, admitted| admitted != gateway);
    }

    /// Whose configuration a ServiceAccount may have.
    pub(crate) fn gateway_of(&self, account: &ObjectKey) -> Option<ObjectKey> {
        self.accounts.lock().get(account).cloned()
    }

    /// A Gateway's configuration, if it has one.
    pub(crate) fn published(&self, gateway: &ObjectKey) -> Option<Arc<Published>> {
        self.gateways.lock().get(gateway).cloned()
    }
}

impl Default for Published {
    fn default() -> Self {
        Self { resources: Mutex::default(), revision: watch::Sender::new(0) }
    }
}

impl Published {
    /// Tells of every new revision. It closes when the Gateway is gone.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Everything that differs from what a proxy says it has, by name and version.
    pub(crate) fn difference(&self, has: &HashMap<String, String>) -> Batch {
        let resources = self.resources.lock();
        let differs = |(name, entry): (&String, &Entry)| {
            let (named, version) = entry.resource.as_ref()?;
            (has.get(name) != Some(version)).then(|| (named.clone(), version.clone()))
        };
        let upsert = resources.current.iter().filter_map(differs).collect();
        let exists = |name: &String| resources.current.get(name).is_some_and(|entry| entry.resource.is_some());
        let remove = has.keys().filter(|name| !exists(name)).cloned().collect();
        Batch { upsert, remove, revision: resources.last, digest: resources.digest.clone() }
    }

    /// What changed after a revision.
    pub(crate) fn since(&self, revision: u64) -> Result<Batch, TooFarBehind> {
        let resources = self.resources.lock();
        if revision < resources.horizon {
            return Err(TooFarBehind);
        }
        let mut batch = Batch { revision: resources.last, digest: resources.digest.clone(), ..Batch::default() };
        for name in resources.log.range(revision + 1..).map(|(_, name)| name) {
            match resources.current.get(name).and_then(|entry| entry.resource.as_ref()) {
                Some((named, version)) => batch.upsert.push((named.clone(), version.clone())),
                None => batch.remove.push(name.clone()),
            }
        }
        Ok(batch)
    }

    fn apply(&self, upsert: Vec<Named>, remove: Vec<String>, digest: String) {
        let mut resources = self.resources.lock();
        for named in upsert {
            resources.set(named);
        }
        for name in remove {
            resources.change(name, None);
        }
        resources.digest = digest;
        resources.forget();
        let last = resources.last;
        drop(resources);
        self.revision.send_replace(last);
    }
}

impl Resources {
    fn set(&mut self, named: Named) {
        match encode_one(&named) {
            Ok(bytes) => self.change(named.xds_name(), Some((named, version(&bytes)))),
            Err(error) => tracing::error!(resource.name = named.name, %error, "a resource cannot be encoded and is not published"),
        }
    }

    fn change(&mut self, name: String, resource: Option<(Named, String)>) {
        let version = |resource: &Option<(Named, String)>| resource.as_ref().map(|(_, version)| version.clone());
        if self.current.get(&name).is_some_and(|known| version(&known.resource) == version(&resource)) {
            return;
        }
        self.last += 1;
        let revision = self.last;
        self.removed += usize::from(resource.is_none());
        if let Some(before) = self.current.insert(name.clone(), Entry { revision, resource }) {
            self.log.remove(&before.revision);
            self.removed -= usize::from(before.resource.is_none());
        }
        self.log.insert(revision, name);
    }

    /// Removals would pile up for ever.
    fn forget(&mut self) {
        if self.removed <= REMOVALS.max(self.current.len() / 2) {
            return;
        }
        let gone = self.log.iter().filter(|(_, name)| self.current.get(*name).is_none_or(|entry| entry.resource.is_none()));
        let gone: Vec<u64> = gone.map(|(revision, _)| *revision).take(self.removed - REMOVALS / 2).collect();
        for revision in gone {
            if let Some(name) = self.log.remove(&revision) {
                self.current.remove(&name);
            }
            self.removed -= 1;
            self.horizon = self.horizon.max(revision);
        }
    }
}

/// The same for the same content on every replica and after a restart. Half of a SHA-256, so that a version tells nothing of a token.
fn version(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use policy::config::Endpoints;
    use policy::wire::Resource;

    use super::*;

    fn endpoints(name: &str, port: u16) -> Named {
        let addresses = vec![std::net::SocketAddr::from(([10, 0, 0, 1], port))];
        Named { name: name.to_owned(), resource: Resource::Endpoints(Arc::new(Endpoints { addresses })) }
    }

    fn delta(upsert: Vec<Named>, remove: &[&str]) -> ConfigChange {
        let remove = remove.iter().map(|name| (*name).to_owned()).collect();
        ConfigChange::Delta { upsert, remove, listeners_digest: "d".to_owned() }
    }

    fn names(batch: &Batch) -> BTreeSet<String> {
        batch.upsert.iter().map(|(named, _)| named.xds_name()).collect()
    }

    fn published() -> (Publisher, ObjectKey, Arc<Published>) {
        let (publisher, gateway) = (Publisher::default(), ObjectKey::new("ns", "gw"));
        publisher.apply(&gateway, delta(vec![endpoints("a", 1), endpoints("b", 1)], &[]));
        let published = publisher.published(&gateway).unwrap();
        (publisher, gateway, published)
    }

    #[test]
    fn tells_only_what_changed_since_a_revision() {
        let (publisher, gateway, published) = published();
        let first = published.difference(&HashMap::new());
        assert_eq!(names(&first).len(), 2);
        publisher.apply(&gateway, delta(vec![endpoints("a", 2)], &["endpoints/b"]));
        let next = published.since(first.revision).unwrap();
        assert_eq!(names(&next), BTreeSet::from(["endpoints/a".to_owned()]));
        assert_eq!(next.remove, ["endpoints/b"]);
        assert!(published.since(next.revision).unwrap().is_empty());
    }

    #[test]
    fn tells_nothing_to_a_proxy_that_has_everything_from_another_replica() {
        let (_, _, one) = published();
        let (_, _, other) = published();
        let has = one.difference(&HashMap::new()).upsert.iter().map(|(named, version)| (named.xds_name(), version.clone())).collect();
        assert!(other.difference(&has).is_empty());
    }

    #[test]
    fn tells_a_proxy_to_drop_what_no_longer_exists() {
        let (_, _, published) = published();
        let has = HashMap::from([("rule/old".to_owned(), "v".to_owned())]);
        assert_eq!(published.difference(&has).remove, ["rule/old"]);
    }

    #[test]
    fn forgets_old_removals_and_says_so() {
        let (publisher, gateway, published) = published();
        for round in 0..REMOVALS * 2 {
            let name = format!("r{round}");
            publisher.apply(&gateway, delta(vec![endpoints(&name, 1)], &[]));
            publisher.apply(&gateway, delta(Vec::new(), &[&format!("endpoints/{name}")]));
        }
        assert!(published.resources.lock().current.len() <= REMOVALS + 2);
        assert!(published.since(1).is_err());
        assert_eq!(names(&published.difference(&HashMap::new())).len(), 2);
    }

    #[test]
    fn a_gateway_that_is_gone_ends_its_streams() {
        let (publisher, gateway, published) = published();
        let follow = published.follow();
        publisher.apply(&gateway, ConfigChange::Gone);
        drop(published);
        assert!(follow.has_changed().is_err());
    }
}

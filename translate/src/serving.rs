//! What one Gateway's proxies are to have: its listeners, the rules attached to them, and only what those refer to, so that a proxy holds no
//! Secret that its Gateway does not use. It is kept piece by piece, and remembers what differs from what was told last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::Config;
use policy::config::{Attachment, Backend, HostPair, Listener, Protocol, Rule, Secret};
use policy::wire::{Named, Resource};

use crate::gateway::{self, Gateway};
use crate::model::RouteId;
use crate::route::service;
use crate::status::digest;
use crate::supply::{Bundle, Supply};
use crate::{ConfigChange, ObjectKey};

/// The listeners that a route is on, by name, and the hosts it has there.
pub(crate) type Hosts<'r> = BTreeMap<&'r String, &'r [HostPair]>;

#[derive(Default)]
pub(crate) struct Serving {
    config: Config,
    /// By name on the wire; `None`: gone.
    changes: BTreeMap<String, Option<Named>>,
    told: bool,
    /// Of listeners and certificates.
    digest: String,
    /// Of the Gateway, by resource name.
    client_certificate: Option<String>,
    /// Names of listeners that take rules, and of what listeners brought with them.
    open: BTreeSet<String>,
    listening: BTreeSet<String>,
    /// How many rules each route has here.
    rules: BTreeMap<RouteId, usize>,
    /// Backends, each with the number of times that rules refer to it.
    uses: BTreeMap<String, usize>,
    /// Backends that rules began or ceased to refer to.
    moved: BTreeSet<String>,
    unsettled: BTreeSet<String>,
    bundles: BTreeMap<String, Bundle>,
    /// Endpoints and tokens by name on the wire, each with the number of backends that refer to it.
    below: BTreeMap<String, usize>,
}

impl Serving {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn digest(&self) -> &String {
        &self.digest
    }

    /// Services that its rules lead to.
    pub(crate) fn services(&self) -> BTreeSet<ObjectKey> {
        self.uses.keys().filter_map(|name| service::of_backend(name)).collect()
    }

    /// Whether its rules lead to a Service.
    pub(crate) fn leads_to(&self, service: &ObjectKey) -> bool {
        let prefix = service::backends(service);
        self.uses.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    /// Services that its rules lead to, or no longer, since the last call.
    pub(crate) fn take_moved(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.moved).iter().filter_map(|name| service::of_backend(name)).collect()
    }

    /// What differs from the last call.
    pub(crate) fn take_change(&mut self) -> Option<ConfigChange> {
        let changes = std::mem::take(&mut self.changes);
        if self.told && changes.is_empty() {
            return None;
        }
        self.told = true;
        let (mut upsert, mut remove) = (Vec::new(), Vec::new());
        for (name, change) in changes {
            match change {
                Some(named) => upsert.push(named),
                None => remove.push(name),
            }
        }
        Some(ConfigChange::Delta { upsert, remove, listeners_digest: self.digest.clone() })
    }

    /// Takes over the Gateway's listeners and their certificates.
    pub(crate) fn listen(&mut self, gateway: &Gateway) {
        let mut wanted: BTreeMap<String, Named> = BTreeMap::new();
        let mut add = |name: &str, resource: Resource| {
            let named = Named { name: name.to_owned(), resource };
            wanted.entry(named.xds_name()).or_insert(named);
        };
        for (listener, protocol) in gateway.served() {
            for (name, certificate) in &listener.certificates {
                add(name, Resource::Secret(Arc::new(certificate.clone())));
            }
            compiled(listener, protocol, &listener.certificates).into_iter().for_each(|one| add(&listener.name, Resource::Listener(one)));
        }
        if let Some((name, certificate)) = &gateway.client_certificate {
            add(name, Resource::Secret(Arc::new(certificate.clone())));
        }
        self.show(gateway.client_certificate.as_ref().map(|(name, _)| name));
        self.open = gateway.served().map(|(listener, _)| listener.name.clone()).collect();
        // After those that are served: a closed listener takes nobody's name.
        for (listener, protocol) in gateway.closed() {
            compiled(listener, protocol, &[]).into_iter().for_each(|one| add(&listener.name, Resource::Listener(one)));
        }
        let before = std::mem::replace(&mut self.listening, wanted.keys().cloned().collect());
        for gone in before.iter().filter(|name| !wanted.contains_key(*name)) {
            self.remove(gone);
        }
        wanted.into_values().for_each(|named| self.put(named));
        self.digest = digest(&self.config);
    }

    /// Takes over the name of the certificate that is shown to backends.
    fn show(&mut self, client_certificate: Option<&String>) {
        if self.client_certificate.as_ref() != client_certificate {
            self.client_certificate = client_certificate.cloned();
            self.unsettled.extend(self.bundles.keys().cloned());
        }
    }

    /// Takes over a route's rules, as far as its listeners are served; `None`: it has none here.
    pub(crate) fn place(&mut self, id: &RouteId, route: Option<(&[Rule], &Hosts<'_>)>) {
        let rules = route.map(|(rules, served)| self.attached(rules, served)).unwrap_or_default();
        let now = rules.len();
        let before = match now {
            0 => self.rules.remove(id),
            _ => self.rules.insert(id.clone(), now),
        };
        let before = before.unwrap_or_default();
        for nth in 0..before {
            if let Some(rule) = self.config.rules.get(&rule_name(id, nth)).cloned() {
                backends(&rule).into_iter().for_each(|backend| self.count(backend, false));
            }
        }
        for gone in now..before {
            self.remove(&format!("{}/{}", policy::wire::RULE, rule_name(id, gone)));
        }
        for (nth, rule) in rules.into_iter().enumerate() {
            backends(&rule).into_iter().for_each(|backend| self.count(backend, true));
            self.put(Named { name: rule_name(id, nth), resource: Resource::Rule(rule) });
        }
    }

    /// Takes over what its rules refer to, where that changed.
    pub(crate) fn supply(&mut self, supply: &Supply, changed: &BTreeSet<String>) {
        let mut names = std::mem::take(&mut self.unsettled);
        names.extend(changed.iter().filter(|name| self.uses.contains_key(*name)).cloned());
        for name in names {
            let wanted = supply.get(&name).filter(|_| self.uses.contains_key(&name)).map(|bundle| self.dressed(bundle));
            self.set_bundle(name, wanted);
        }
    }

    fn attached(&self, rules: &[Rule], served: &Hosts<'_>) -> Vec<Arc<Rule>> {
        let served = served.iter().filter(|(listener, _)| self.open.contains(**listener));
        let served: Vec<Attachment> =
            served.map(|(listener, hosts)| Attachment { listener: (*listener).clone(), hosts: hosts.to_vec() }).collect();
        let rules = rules.iter().filter(|_| !served.is_empty());
        rules.map(|rule| Arc::new(Rule { attachments: served.clone(), ..rule.clone() })).collect()
    }

    fn count(&mut self, backend: &str, more: bool) {
        self.unsettled.insert(backend.to_owned());
        let uses = self.uses.entry(backend.to_owned()).or_default();
        let before = *uses;
        *uses = if more { before + 1 } else { before.saturating_sub(1) };
        if before == 0 || *uses == 0 {
            self.moved.insert(backend.to_owned());
        }
        if *uses == 0 {
            self.uses.remove(backend);
        }
    }

    fn set_bundle(&mut self, name: String, wanted: Option<Bundle>) {
        if self.bundles.get(&name) == wanted.as_ref() {
            return;
        }
        let before = match &wanted {
            Some(bundle) => self.bundles.insert(name.clone(), bundle.clone()),
            None => self.bundles.remove(&name),
        };
        match wanted {
            Some(Bundle { backend, below }) => {
                below.into_iter().for_each(|below| self.refer(below));
                self.put(Named { name, resource: Resource::Backend(backend) });
            }
            None => self.remove(&format!("{}/{name}", policy::wire::BACKEND)),
        }
        before.and_then(|before| before.below).into_iter().for_each(|below| self.unrefer(&below.xds_name()));
    }

    /// A backend as this Gateway sees it: the same for all but for the certificate that is shown to it.
    fn dressed(&self, bundle: &Bundle) -> Bundle {
        let mut bundle = bundle.clone();
        if self.client_certificate.is_some()
            && matches!(&*bundle.backend, Backend::Service { tls: Some(Ok(_)), .. })
            && let Backend::Service { tls: Some(Ok(tls)), .. } = Arc::make_mut(&mut bundle.backend)
        {
            Arc::make_mut(tls).client_certificate.clone_from(&self.client_certificate);
        }
        bundle
    }

    fn refer(&mut self, below: Named) {
        *self.below.entry(below.xds_name()).or_default() += 1;
        self.put(below);
    }

    fn unrefer(&mut self, name: &str) {
        let Some(users) = self.below.get_mut(name) else { return };
        *users -= 1;
        if *users == 0 {
            self.below.remove(name);
            self.remove(name);
        }
    }

    fn put(&mut self, named: Named) {
        if self.config.put(named.clone()) {
            self.changes.insert(named.xds_name(), Some(named));
        }
    }

    fn remove(&mut self, name: &str) {
        if self.config.remove(name) {
            self.changes.insert(name.to_owned(), None);
        }
    }
}

/// A rule's name on the wire.
fn rule_name(id: &RouteId, nth: usize) -> String {
    format!("{}/{}/{nth}", id.kind.as_str(), id.key)
}

fn compiled(listener: &gateway::Listener, protocol: Protocol, certificates: &[(String, Secret)]) -> Option<Arc<Listener>> {
    let (port, hostname) = (u16::try_from(listener.port).ok()?, listener.hostname.clone().ok()?);
    let certificates = certificates.iter().map(|(name, _)| name.clone()).collect();
    Some(Arc::new(Listener { port, protocol, hostname, certificates, client_auth: listener.client_auth.clone() }))
}

fn backends(rule: &Rule) -> Vec<&str> {
    let own = rule.backends.iter().filter_map(|one| one.backend.as_deref().ok());
    own.chain(rule.all_filters().flat_map(|filters| &filters.mirrors).map(|mirror| mirror.backend.as_str())).collect()
}

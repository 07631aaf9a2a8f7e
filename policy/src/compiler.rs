//! From one table to the next. What a change touches is compiled again: its rules, the rules that name a changed backend, the hosts
//! they are on. The rest is shared with the table before, so that a change among ten thousand rules costs about what it costs among ten.
//!
//! What it costs, with `n` hosts on a listener (or paths on a host): one piece of at most 64 entries is copied, and `n / 32` pointers.
//! All rules with the very same path on the same host are one entry. A change of endpoints costs that much for each rule that leads
//! there. Listeners and certificates are few and change rarely: then all listeners are looked at, and a new one looks at all rules.

mod changes;
mod uses;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::Port;
use crate::config::{Config, Listener, Secret};
use crate::rule::{Backends, CompiledBackend};
use crate::table::hosts::HostMap;
use crate::table::served::Served;
use crate::table::{CompileError, ListenerTable, Place, PortTable, Table};
use crate::wire::Delta;
use changes::Changes;
use uses::{Uses, backends_of, endpoints_of, secret_of};

type Ports = BTreeMap<Port, Arc<PortTable>>;
type Places = BTreeMap<String, Place>;

/// A configuration and what was compiled of it.
#[derive(Debug, Default)]
pub struct Compiler {
    config: Config,
    backends: Backends,
    /// As they stand in the table.
    rules: HashMap<Arc<str>, Served, RandomState>,
    /// Rules by backend.
    by_backend: Uses,
    /// Backends by endpoints.
    by_endpoints: Uses,
    /// Backends by secret.
    by_secret: Uses,
    /// By listener.
    places: Places,
    /// By rule.
    problems: BTreeMap<Arc<str>, CompileError>,
    table: Table,
}

/// What a change gave.
#[derive(Debug)]
pub struct Applied {
    /// Serves from now on.
    pub table: Table,
    /// Rules of the change that cannot be compiled and refuse every request. [`Table::problems`] has all of them.
    pub refused: Vec<CompileError>,
    /// Whether listeners or their certificates changed.
    pub listeners: bool,
    /// Backends that changed, or whose endpoints or secret did, or that are gone.
    pub backends: Vec<String>,
}

/// What can fail of a change, done.
struct Staged {
    backends: Vec<(String, Option<Arc<CompiledBackend>>)>,
    /// With no hosts yet; there if listeners or certificates change.
    listeners: Option<(Ports, Places)>,
}

impl Compiler {
    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Applies all of a change, or, with an error, nothing of it: then everything stays as it was. A rule that cannot be compiled is
    /// no error; it is served as one that refuses.
    pub fn apply(&mut self, delta: Delta) -> Result<Applied, CompileError> {
        let mut changes = Changes::from(delta);
        changes.exchange(&mut self.config);
        match self.stage(&changes) {
            Ok(staged) => Ok(self.commit(&changes, staged)),
            Err(error) => {
                changes.exchange(&mut self.config);
                Err(error)
            }
        }
    }

    /// The configuration is the new one already, `changes` holds what was before.
    fn stage(&self, changes: &Changes) -> Result<Staged, CompileError> {
        let of_endpoints = changes.endpoints.keys().flat_map(|endpoints| self.by_endpoints.of(endpoints));
        let of_secrets = changes.secrets.keys().flat_map(|secret| self.by_secret.of(secret));
        let indirect = of_endpoints.chain(of_secrets).map(|name| &**name);
        let touched: BTreeSet<&str> = changes.backends.keys().map(String::as_str).chain(indirect).collect();
        let compile = |name: &str| self.backend(name).map(|backend| (name.to_owned(), backend));
        let backends = touched.into_iter().map(compile).collect::<Result<Vec<_>, CompileError>>()?;
        let certified = |listener: &Arc<Listener>| listener.certificates.iter().any(|secret| changes.secrets.contains_key(secret));
        let relist = !changes.listeners.is_empty() || (!changes.secrets.is_empty() && self.config.listeners.values().any(certified));
        Ok(Staged { backends, listeners: relist.then(|| listeners(&self.config)).transpose()? })
    }

    fn backend(&self, name: &str) -> Result<Option<Arc<CompiledBackend>>, CompileError> {
        let Some(backend) = self.config.backends.get(name) else { return Ok(None) };
        let compiled = CompiledBackend::compile(name, backend, &self.config);
        compiled.map(|compiled| Some(Arc::new(compiled))).map_err(|problem| CompileError { resource: format!("backend {name}"), problem })
    }

    fn commit(&mut self, changes: &Changes, staged: Staged) -> Applied {
        let relisted = staged.listeners.is_some();
        let taken: Vec<_> = self.touched(changes, &staged).into_iter().map(|name| self.take_out(name)).collect();
        self.index(changes);
        let mut backends = Vec::with_capacity(staged.backends.len());
        for (name, backend) in staged.backends {
            backends.push(name.clone());
            self.backends.put(name, backend);
        }
        if let Some((ports, places)) = staged.listeners {
            self.relist(ports, places);
        }
        let had_problems = taken.iter().any(|taken| taken.refused);
        let refused: Vec<CompileError> = taken.into_iter().filter_map(|taken| self.put_in(taken)).collect();
        if had_problems || !refused.is_empty() {
            self.table.problems = self.problems.values().cloned().collect();
        }
        Applied { table: self.table.clone(), refused, listeners: relisted, backends }
    }

    /// Rules that changed, and those that name a backend that did.
    fn touched(&self, changes: &Changes, staged: &Staged) -> BTreeSet<Arc<str>> {
        let users = staged.backends.iter().flat_map(|(name, _)| self.by_backend.of(name)).cloned();
        let named = changes.rules.keys().map(|name| match self.rules.get_key_value(name.as_str()) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(name.as_str()),
        });
        users.chain(named).collect()
    }

    /// Takes a rule out of the table, while listeners are where they were.
    fn take_out(&mut self, name: Arc<str>) -> Taken {
        let served = self.rules.remove(&name);
        if let Some(served) = &served {
            for backend in backends_of(served.rule.source()) {
                self.by_backend.remove(backend, &name);
            }
            for attachment in &served.rule.source().attachments {
                if let Some(listener) = self.places.get(&attachment.listener).and_then(|place| self.table.listener_mut(place)) {
                    listener.detach(&attachment.hosts, served);
                }
            }
        }
        Taken { refused: self.problems.remove(&name).is_some(), name, served }
    }

    /// Puts the rule of that name into the table, if there still is one. Gives what is wrong with it.
    fn put_in(&mut self, Taken { name, served, refused }: Taken) -> Option<CompileError> {
        let rule = self.config.rules.get(&*name)?;
        let same = served.filter(|served| !refused && Arc::ptr_eq(served.rule.source(), rule));
        let (served, problem) = match same {
            Some(served) => served.recompile(&name, &self.backends),
            None => Served::compile(&name, rule, &self.backends),
        };
        for backend in backends_of(rule) {
            self.by_backend.add(backend, &name);
        }
        attach(&mut self.table, &self.places, &served, |_| true);
        let problem = problem.map(|problem| CompileError { resource: format!("rule {name}"), problem });
        if let Some(problem) = &problem {
            self.problems.insert(Arc::clone(&name), problem.clone());
        }
        self.rules.insert(name, served);
        problem
    }

    /// Notes what changed backends refer to.
    fn index(&mut self, changes: &Changes) {
        for (name, before) in &changes.backends {
            if let Some(before) = before {
                endpoints_of(before).into_iter().for_each(|endpoints| self.by_endpoints.remove(endpoints, name));
                secret_of(before).into_iter().for_each(|secret| self.by_secret.remove(secret, name));
            }
            if let Some(backend) = self.config.backends.get(name) {
                let user: Arc<str> = Arc::from(name.as_str());
                endpoints_of(backend).into_iter().for_each(|endpoints| self.by_endpoints.add(endpoints, &user));
                secret_of(backend).into_iter().for_each(|secret| self.by_secret.add(secret, &user));
            }
        }
    }

    /// Replaces all listeners. One that was there by its name keeps its hosts, wherever it is now; a new one gets the rules that are
    /// waiting for it.
    fn relist(&mut self, ports: Ports, places: Places) {
        let mut table = Table { ports, problems: Arc::clone(&self.table.problems) };
        let mut added = BTreeSet::new();
        for (name, place) in &places {
            let old = self.places.get(name).and_then(|place| self.table.listener_mut(place)).map(|old| std::mem::take(&mut old.hosts));
            match (old, table.listener_mut(place)) {
                (Some(hosts), Some(listener)) => listener.hosts = hosts,
                (None, _) | (_, None) => drop(added.insert(name.as_str())),
            }
        }
        if !added.is_empty() {
            self.rules.values().for_each(|served| attach(&mut table, &places, served, |name| added.contains(name)));
        }
        self.table = table;
        self.places = places;
    }
}

/// A rule that was taken out of the table.
struct Taken {
    name: Arc<str>,
    /// As it stood there, if it did.
    served: Option<Served>,
    /// Whether it could not be compiled.
    refused: bool,
}

fn attach(table: &mut Table, places: &Places, served: &Served, to: impl Fn(&str) -> bool) {
    for attachment in served.rule.source().attachments.iter().filter(|attachment| to(&attachment.listener)) {
        if let Some(listener) = places.get(&attachment.listener).and_then(|place| table.listener_mut(place)) {
            listener.attach(&attachment.hosts, served);
        }
    }
}

/// All listeners of a configuration, without hosts.
fn listeners(config: &Config) -> Result<(Ports, Places), CompileError> {
    let mut ports: BTreeMap<Port, PortTable> = BTreeMap::new();
    let mut places = Places::new();
    for (name, listener) in &config.listeners {
        let certificates = certificates(name, listener, config)?;
        let (protocol, family) = (listener.protocol, listener.protocol.family());
        let number = Port { number: listener.port, transport: protocol.transport() };
        let client_auth = listener.client_auth.clone();
        let table = ListenerTable { name: name.as_str().into(), protocol, certificates, client_auth, hosts: HostMap::default() };
        let port = ports.entry(number).or_insert_with(|| PortTable { family, listeners: HostMap::default() });
        if port.family != family || port.listeners.insert(listener.hostname.as_ref(), Arc::new(table)).is_some() {
            let problem = format!("another listener has port {} and the same hostname or another protocol", listener.port);
            return Err(CompileError { resource: format!("listener {name}"), problem });
        }
        places.insert(name.clone(), Place { port: number, hostname: listener.hostname.clone() });
    }
    Ok((ports.into_iter().map(|(number, port)| (number, Arc::new(port))).collect(), places))
}

fn certificates(name: &str, listener: &Listener, config: &Config) -> Result<Arc<[Arc<Secret>]>, CompileError> {
    let certificate = |secret: &String| match config.secrets.get(secret) {
        Some(found) if matches!(**found, Secret::Certificate { .. }) => Ok(Arc::clone(found)),
        Some(_) | None => {
            Err(CompileError { resource: format!("listener {name}"), problem: format!("secret {secret:?} is not a certificate") })
        }
    };
    listener.certificates.iter().map(certificate).collect()
}

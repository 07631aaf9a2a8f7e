//! A delta, taken apart by kind; and how it is put into a configuration and taken out again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Config;
use crate::config::{Backend, Endpoints, Listener, Rule, Secret};
use crate::wire::{BACKEND, Delta, ENDPOINTS, LISTENER, Named, RULE, Resource, SECRET};

/// By name; `None` stands for absence.
type Changed<T> = BTreeMap<String, Option<Arc<T>>>;

/// Values for a configuration, or those it had before: see [`Changes::exchange`].
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) listeners: Changed<Listener>,
    pub(crate) rules: Changed<Rule>,
    pub(crate) backends: Changed<Backend>,
    pub(crate) endpoints: Changed<Endpoints>,
    pub(crate) secrets: Changed<Secret>,
}

impl From<Delta> for Changes {
    fn from(delta: Delta) -> Self {
        let mut changes = Self::default();
        delta.remove.iter().for_each(|name| changes.remove(name));
        delta.upsert.into_iter().for_each(|named| changes.upsert(named));
        changes
    }
}

impl Changes {
    fn remove(&mut self, xds_name: &str) {
        let Some((kind, name)) = xds_name.split_once('/') else { return };
        let name = name.to_owned();
        match kind {
            LISTENER => drop(self.listeners.insert(name, None)),
            RULE => drop(self.rules.insert(name, None)),
            BACKEND => drop(self.backends.insert(name, None)),
            ENDPOINTS => drop(self.endpoints.insert(name, None)),
            SECRET => drop(self.secrets.insert(name, None)),
            // A kind of another version: there is none of it here.
            _ => {}
        }
    }

    fn upsert(&mut self, Named { name, resource }: Named) {
        match resource {
            Resource::Listener(listener) => drop(self.listeners.insert(name, Some(listener))),
            Resource::Rule(rule) => drop(self.rules.insert(name, Some(rule))),
            Resource::Backend(backend) => drop(self.backends.insert(name, Some(backend))),
            Resource::Endpoints(endpoints) => drop(self.endpoints.insert(name, Some(endpoints))),
            Resource::Secret(secret) => drop(self.secrets.insert(name, Some(secret))),
        }
    }

    /// Puts these values into the configuration, and holds those that were there: doing it again undoes it. What does not differ is
    /// left alone and forgotten.
    pub(crate) fn exchange(&mut self, config: &mut Config) {
        exchange(&mut config.listeners, &mut self.listeners);
        exchange(&mut config.rules, &mut self.rules);
        exchange(&mut config.backends, &mut self.backends);
        exchange(&mut config.endpoints, &mut self.endpoints);
        exchange(&mut config.secrets, &mut self.secrets);
    }
}

fn exchange<T: PartialEq>(held: &mut BTreeMap<String, Arc<T>>, changed: &mut Changed<T>) {
    changed.retain(|name, value| {
        if held.get(name) == value.as_ref() {
            return false;
        }
        *value = match value.take() {
            Some(new) => held.insert(name.clone(), new),
            None => held.remove(name),
        };
        true
    });
}

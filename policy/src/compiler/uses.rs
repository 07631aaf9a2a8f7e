//! Who refers to what: so that a change of one resource finds what was compiled from it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};

use crate::config::{Backend, Credential, Rule};

/// Names of users, sorted, by the name of what they use; also of what does not exist (yet).
#[derive(Debug, Default)]
pub(crate) struct Uses(HashMap<Box<str>, SmallVec<[Arc<str>; 1]>, RandomState>);

impl Uses {
    pub(crate) fn of(&self, used: &str) -> &[Arc<str>] {
        match self.0.get(used) {
            Some(users) => users,
            None => &[],
        }
    }

    pub(crate) fn add(&mut self, used: &str, user: &Arc<str>) {
        let Some(users) = self.0.get_mut(used) else {
            self.0.insert(used.into(), smallvec![Arc::clone(user)]);
            return;
        };
        if let Err(at) = users.binary_search(user) {
            users.insert(at, Arc::clone(user));
        }
    }

    pub(crate) fn remove(&mut self, used: &str, user: &str) {
        let Some(users) = self.0.get_mut(used) else { return };
        if let Ok(at) = users.binary_search_by(|known| (**known).cmp(user)) {
            users.remove(at);
        }
        if users.is_empty() {
            self.0.remove(used);
        }
    }
}

/// The backends that a rule names.
pub(crate) fn backends_of(rule: &Rule) -> impl Iterator<Item = &str> {
    let mirrors = rule.all_filters().flat_map(|filters| &filters.mirrors);
    let weighted = rule.backends.iter().flat_map(|backend| &backend.backend);
    weighted.map(String::as_str).chain(mirrors.map(|mirror| mirror.backend.as_str()))
}

/// The endpoints that a backend names.
pub(crate) fn endpoints_of(backend: &Backend) -> Option<&str> {
    match backend {
        Backend::Service { endpoints, .. } => Some(endpoints),
        Backend::Provider(_) => None,
    }
}

/// The secret that a backend names.
pub(crate) fn secret_of(backend: &Backend) -> Option<&str> {
    match backend {
        Backend::Provider(provider) => match &provider.credential {
            Credential::Secret(secret) => Some(secret),
            Credential::Passthrough | Credential::Unavailable(_) => None,
        },
        Backend::Service { tls, .. } => tls.as_ref()?.as_ref().ok()?.client_certificate.as_deref(),
    }
}

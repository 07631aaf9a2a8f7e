//! What all workers share and a new configuration replaces whole: the table and the listeners' certificates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use policy::config::{Credential, Secret};
use policy::{Config, Table};
use rustls::sign::CertifiedKey;

use crate::server::ApplyError;
use crate::tls;

/// One generation of configuration, prepared.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) table: Table,
    /// For dumps.
    pub(crate) config: Arc<Config>,
    /// By listener name.
    pub(crate) certificates: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// When each backend's present credential came into force.
    pub(crate) credentials: HashMap<String, Loaded>,
    pub(crate) configured: bool,
}

/// A credential's generation.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    fingerprint: String,
    pub(crate) since: Instant,
}

impl State {
    /// Before the first configuration.
    pub(crate) fn empty() -> Self {
        Self {
            table: Table::default(),
            config: Arc::default(),
            certificates: HashMap::new(),
            credentials: HashMap::new(),
            configured: false,
        }
    }

    /// Prepares a configuration. A certificate that cannot be used is an error in the list, and its listener's handshakes fail.
    pub(crate) fn prepare(config: Config, previous: &Self, now: Instant) -> Result<(Self, Vec<ApplyError>), ApplyError> {
        let table = Table::compile(&config)?;
        let mut certificates = HashMap::new();
        let mut failed: Vec<ApplyError> = table.problems().iter().cloned().map(ApplyError::from).collect();
        for listener in table.ports().flat_map(|(_, port)| port.listeners()) {
            for (chain, key) in &listener.certificates {
                match tls::certified_key(chain, key) {
                    Ok(key) => certificates.entry(listener.name.clone()).or_insert_with(Vec::new).push(key),
                    Err(problem) => failed.push(ApplyError::Certificate { listener: listener.name.clone(), problem }),
                }
            }
        }
        let credentials = credentials(&config, previous, now);
        Ok((Self { table, config: Arc::new(config), certificates, credentials, configured: true }, failed))
    }
}

fn credentials(config: &Config, previous: &State, now: Instant) -> HashMap<String, Loaded> {
    let providers = config.backends.iter().filter_map(|(name, backend)| match &**backend {
        policy::config::Backend::Provider(provider) => Some((name, &provider.credential)),
        policy::config::Backend::Service { .. } => None,
    });
    let loaded = providers.filter_map(|(name, credential)| {
        let Credential::Secret(secret) = credential else { return None };
        let Secret::Token(token) = &**config.secrets.get(secret)? else { return None };
        let fingerprint = token.fingerprint();
        let kept = previous.credentials.get(name).filter(|loaded| loaded.fingerprint == fingerprint);
        Some((name.clone(), kept.cloned().unwrap_or(Loaded { fingerprint, since: now })))
    });
    loaded.collect()
}

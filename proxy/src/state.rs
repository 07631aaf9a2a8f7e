//! What all workers share and a new configuration replaces: the table and the listeners' certificates. What did not change is the same
//! object as before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use policy::config::{Backend, Credential, Secret};
use policy::{Applied, Config, Table, Token};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use crate::server::ApplyError;
use crate::{client_auth, tls};

/// One generation of configuration, prepared.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) table: Table,
    /// By listener name.
    pub(crate) certificates: Arc<HashMap<Arc<str>, Vec<Certificate>>>,
    /// TLS settings of listeners that ask clients for a certificate, by name. One that asks and is not here lets nobody in.
    pub(crate) client_auth: Arc<HashMap<Arc<str>, Arc<ServerConfig>>>,
    /// Certificates and authorities that listeners name and that cannot be used.
    pub(crate) unusable: usize,
    /// When each backend's present credential came into force.
    pub(crate) credentials: Arc<HashMap<String, Loaded>>,
}

/// A certificate that can be served.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// What it was read from.
    secret: Arc<Secret>,
    pub(crate) key: Arc<CertifiedKey>,
}

/// A credential's generation.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    fingerprint: String,
    pub(crate) since: Instant,
}

impl State {
    /// The state after a change; `config` is the whole configuration. What cannot be used is an error in the list: a rule refuses its
    /// requests, a listener's handshakes fail for want of a certificate.
    pub(crate) fn after(&self, applied: Applied, config: &Config, now: Instant) -> (Self, Vec<ApplyError>) {
        let mut failed: Vec<ApplyError> = applied.refused.into_iter().map(ApplyError::from).collect();
        let refused = failed.len();
        let (certificates, client_auth, unusable) = match applied.listeners {
            true => {
                let certificates = self.certificates(&applied.table, &mut failed);
                let client_auth = mutual(&applied.table, &certificates, &mut failed);
                (Arc::new(certificates), Arc::new(client_auth), failed.len() - refused)
            }
            false => (Arc::clone(&self.certificates), Arc::clone(&self.client_auth), self.unusable),
        };
        let credentials = self.credentials(&applied.backends, config, now);
        (Self { table: applied.table, certificates, client_auth, unusable, credentials }, failed)
    }

    fn certificates(&self, table: &Table, failed: &mut Vec<ApplyError>) -> HashMap<Arc<str>, Vec<Certificate>> {
        let mut certificates: HashMap<Arc<str>, Vec<Certificate>> = HashMap::new();
        for listener in table.ports().flat_map(|(_, port)| port.listeners()) {
            for secret in &*listener.certificates {
                match self.certificate(&listener.name, secret) {
                    Ok(certificate) => certificates.entry(Arc::clone(&listener.name)).or_default().push(certificate),
                    Err(problem) => failed.push(ApplyError::Certificate { listener: listener.name.to_string(), problem }),
                }
            }
        }
        certificates
    }

    /// Taken from this state if the listener had it there: checking a key against its certificate takes a signature.
    fn certificate(&self, listener: &str, secret: &Arc<Secret>) -> Result<Certificate, String> {
        let known = self.certificates.get(listener).and_then(|all| all.iter().find(|known| Arc::ptr_eq(&known.secret, secret)));
        let key = match (known, &**secret) {
            (Some(known), _) => Arc::clone(&known.key),
            (None, Secret::Certificate { chain, key }) => tls::certified_key(chain, key)?,
            (None, Secret::Token(_)) => return Err("its secret is not a certificate".to_owned()),
        };
        Ok(Certificate { secret: Arc::clone(secret), key })
    }

    fn credentials(&self, changed: &[String], config: &Config, now: Instant) -> Arc<HashMap<String, Loaded>> {
        let mut credentials = Arc::clone(&self.credentials);
        for name in changed {
            let (before, after) = (credentials.get(name), token(config, name).map(Token::fingerprint));
            match after {
                Some(fingerprint) if before.is_none_or(|loaded| loaded.fingerprint != fingerprint) => {
                    Arc::make_mut(&mut credentials).insert(name.clone(), Loaded { fingerprint, since: now });
                }
                None if before.is_some() => drop(Arc::make_mut(&mut credentials).remove(name)),
                Some(_) | None => {}
            }
        }
        credentials
    }
}

fn mutual(
    table: &Table,
    certificates: &HashMap<Arc<str>, Vec<Certificate>>,
    failed: &mut Vec<ApplyError>,
) -> HashMap<Arc<str>, Arc<ServerConfig>> {
    let mut configs = HashMap::new();
    for listener in table.ports().flat_map(|(_, port)| port.listeners()) {
        let Some(auth) = &listener.client_auth else { continue };
        let keys = certificates.get(&listener.name).into_iter().flatten().map(|certificate| Arc::clone(&certificate.key));
        let alpn = if listener.protocol.has_requests() { tls::HTTP } else { &[] };
        match client_auth::config(auth, keys.collect(), alpn) {
            Ok(config) => drop(configs.insert(Arc::clone(&listener.name), config)),
            Err(problem) => failed.push(ApplyError::Certificate { listener: listener.name.to_string(), problem }),
        }
    }
    configs
}

/// The gateway's own token for a backend.
fn token<'c>(config: &'c Config, backend: &str) -> Option<&'c Token> {
    let Backend::Provider(provider) = &**config.backends.get(backend)? else { return None };
    let Credential::Secret(secret) = &provider.credential else { return None };
    match &**config.secrets.get(secret)? {
        Secret::Token(token) => Some(token),
        Secret::Certificate { .. } => None,
    }
}

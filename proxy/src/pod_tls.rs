//! TLS settings towards pods, made when they are first needed. All that verify alike and show the same certificate share one, and so its
//! sessions; no others do: a session that is resumed is not verified again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policy::config::{Secret, TrustedRoots};
use policy::{PodTls, TlsIdentity};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::tls::{certified_key, protocols, provider, roots_of};
use crate::verify::NamedPod;

/// Settings that nobody connected with for so long are forgotten, with their sessions and their client's key.
const UNUSED: Duration = Duration::from_secs(600);

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct PodConfigs {
    /// Trusted where a policy says `System`.
    system: Arc<RootCertStore>,
    known: Mutex<HashMap<TlsIdentity, Known>>,
}

#[derive(Debug)]
struct Known {
    config: Arc<ClientConfig>,
    used: Instant,
}

impl PodConfigs {
    pub(crate) fn new(system: Arc<RootCertStore>) -> Self {
        Self { system, known: Mutex::default() }
    }

    /// The settings for a pod that is to speak one of these protocols (ALPN); none: whatever it likes.
    pub(crate) fn get(&self, tls: &PodTls, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, String> {
        let mut config = ClientConfig::clone(&*self.shared(tls)?);
        config.alpn_protocols = protocols(alpn);
        Ok(Arc::new(config))
    }

    fn shared(&self, tls: &PodTls) -> Result<Arc<ClientConfig>, String> {
        let now = Instant::now();
        let mut known = self.known.lock();
        if let Some(found) = known.get_mut(&tls.identity) {
            found.used = now;
            return Ok(Arc::clone(&found.config));
        }
        known.retain(|_, one| now.saturating_duration_since(one.used) < UNUSED);
        let config = Arc::new(self.make(tls)?);
        known.insert(tls.identity, Known { config: Arc::clone(&config), used: now });
        Ok(config)
    }

    fn make(&self, tls: &PodTls) -> Result<ClientConfig, String> {
        let roots = match &tls.settings.roots {
            TrustedRoots::System => Arc::clone(&self.system),
            TrustedRoots::Pem(pem) => Arc::new(roots_of(pem)?),
        };
        let provider = provider();
        let verifier = NamedPod::new(roots, &tls.settings, provider.signature_verification_algorithms)?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(match tls.client.as_deref() {
            None => builder.with_no_client_auth(),
            Some(Secret::Certificate { chain, key }) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified_key(chain, key)?)))
            }
            Some(Secret::Token(_)) => return Err("the client certificate is not one".to_owned()),
        })
    }
}

//! Verified TLS towards the pods of a Service, compiled: what it is measured by, and an identity that tells which connections may be
//! shared.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::Reason;
use crate::config::{BackendTls, Config, Secret};

/// How a pod is verified, and what it is shown.
#[derive(Debug)]
pub struct PodTls {
    /// What its certificate is measured by.
    pub settings: Arc<BackendTls>,
    /// Shown when the pod asks for a certificate; always a [`Secret::Certificate`].
    pub client: Option<Arc<Secret>>,
    /// Of all of the above.
    pub identity: TlsIdentity,
}

/// Equal where connections are verified in the same way and show the same certificate: only those may stand in for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsIdentity([u8; 32]);

impl PodTls {
    /// Without a certificate that it is to show, no connection is made: whom the pod would take us for is not ours to guess.
    pub(crate) fn compile(settings: &Arc<BackendTls>, config: &Config) -> Result<Arc<Self>, Reason> {
        let client = settings.client_certificate.as_ref().map(|name| certificate(config, name)).transpose()?;
        let identity = identity(settings, client.as_deref())?;
        Ok(Arc::new(Self { settings: Arc::clone(settings), client, identity }))
    }
}

fn certificate(config: &Config, name: &str) -> Result<Arc<Secret>, Reason> {
    let found = config.secrets.get(name).filter(|secret| matches!(***secret, Secret::Certificate { .. }));
    found.cloned().ok_or(Reason::InvalidBackendTls)
}

fn identity(settings: &BackendTls, client: Option<&Secret>) -> Result<TlsIdentity, Reason> {
    let settings = serde_json::to_vec(settings).map_err(|_| Reason::InvalidBackendTls)?;
    let (chain, key) = match client {
        Some(Secret::Certificate { chain, key }) => (chain.as_str(), key.expose()),
        Some(Secret::Token(_)) | None => ("", ""),
    };
    let mut hash = Sha256::new();
    for part in [settings.as_slice(), chain.as_bytes(), key.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut identity = [0; 32];
    identity.copy_from_slice(&hash.finalize()[..]);
    Ok(TlsIdentity(identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SubjectAltName, TrustedRoots};
    use crate::{Hostname, Token};

    fn settings() -> BackendTls {
        BackendTls { sni: "a.example.com".into(), names: Vec::new(), roots: TrustedRoots::Pem("one".into()), client_certificate: None }
    }

    fn compiled(settings: BackendTls, config: &Config) -> Result<TlsIdentity, Reason> {
        PodTls::compile(&Arc::new(settings), config).map(|tls| tls.identity)
    }

    #[test]
    fn connections_that_are_verified_otherwise_have_another_identity() {
        let mut config = Config::default();
        let certificate = |key: &str| Arc::new(Secret::Certificate { chain: "chain".into(), key: Token::new(key) });
        config.secrets.insert("one".into(), certificate("key"));
        config.secrets.insert("two".into(), certificate("another"));
        let with = |name: &str| BackendTls { client_certificate: Some(name.into()), ..settings() };
        let names = vec![SubjectAltName::Hostname(Hostname::parse("a.example.com").unwrap())];
        let all = [
            settings(),
            BackendTls { sni: "b.example.com".into(), ..settings() },
            BackendTls { names, ..settings() },
            BackendTls { names: vec![SubjectAltName::Uri("a.example.com".into())], ..settings() },
            BackendTls { roots: TrustedRoots::Pem("two".into()), ..settings() },
            BackendTls { roots: TrustedRoots::System, ..settings() },
            with("one"),
            with("two"),
        ];
        let identities: Vec<TlsIdentity> = all.iter().map(|one| compiled(one.clone(), &config).unwrap()).collect();
        for (nth, one) in identities.iter().enumerate() {
            assert!(!identities[nth + 1..].contains(one), "{:?}", all[nth]);
        }
        assert_eq!(identities[0], compiled(settings(), &Config::default()).unwrap());
    }

    #[test]
    fn a_renewed_client_certificate_makes_another_identity() {
        let settings = BackendTls { client_certificate: Some("own".into()), ..settings() };
        let with = |key: &str| {
            let mut config = Config::default();
            config.secrets.insert("own".into(), Arc::new(Secret::Certificate { chain: "chain".into(), key: Token::new(key) }));
            compiled(settings.clone(), &config).unwrap()
        };
        assert_ne!(with("old"), with("new"));
    }

    #[test]
    fn refuses_without_the_certificate_that_it_is_to_show() {
        let settings = BackendTls { client_certificate: Some("own".into()), ..settings() };
        let mut config = Config::default();
        assert_eq!(compiled(settings.clone(), &config), Err(Reason::InvalidBackendTls));
        config.secrets.insert("own".into(), Arc::new(Secret::Token(Token::new("sk"))));
        assert_eq!(compiled(settings, &config), Err(Reason::InvalidBackendTls));
    }
}

//! Clients that prove who they are by a certificate: TLS settings of the listeners that ask for one.
//!
//! Such a listener resumes no sessions: a resumed one is not verified again, so it could outlive its certificate, or come from a listener
//! that trusts other authorities or asks nobody.

use std::sync::Arc;

use policy::config::{ClientAuth, ClientAuthMode};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use crate::tls::{fitting, protocols, provider, roots_of};

/// The settings of a listener with these certificates. `alpn`: what it offers.
pub(crate) fn config(auth: &ClientAuth, keys: Vec<Arc<CertifiedKey>>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let mut config = builder.with_client_cert_verifier(verifier(auth)?).with_cert_resolver(Arc::new(OneOf(keys)));
    config.alpn_protocols = protocols(alpn);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn verifier(auth: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let strict = WebPkiClientVerifier::builder_with_provider(Arc::new(roots_of(&auth.roots)?), provider());
    let strict = strict.build().map_err(|e| e.to_string())?;
    Ok(match auth.mode {
        ClientAuthMode::AllowValidOnly => strict,
        ClientAuthMode::AllowInsecureFallback => Arc::new(Anybody(strict)),
    })
}

/// The certificates of one listener.
#[derive(Debug)]
struct OneOf(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for OneOf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        fitting(self.0.iter(), &hello).cloned()
    }
}

/// "In this mode, the gateway will accept connections even if the client certificate is not presented or fails verification"
/// (FrontendTLSValidation.mode). Whoever presents one must still own its key.
#[derive(Debug)]
struct Anybody(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client may show what it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use policy::Token;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;
    use crate::tls::{HTTP, certified_key};

    struct Authority {
        params: CertificateParams,
        key: KeyPair,
        pem: String,
    }

    impl Authority {
        fn new() -> Self {
            let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.distinguished_name.push(DnType::CommonName, "authority");
            let pem = params.self_signed(&key).unwrap().pem();
            Self { params, key, pem }
        }

        fn certified(&self) -> Arc<CertifiedKey> {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &Issuer::new(self.params.clone(), &self.key)).unwrap();
            certified_key(&certificate.pem(), &Token::new(key.serialize_pem())).unwrap()
        }
    }

    fn client(server: &Authority, own: Option<Arc<CertifiedKey>>) -> TlsConnector {
        let roots: RootCertStore = roots_of(&server.pem).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match own {
            Some(own) => builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own))),
            None => builder.with_no_client_auth(),
        };
        TlsConnector::from(Arc::new(config))
    }

    /// Whether a listener that trusts `authority` lets in a client with that certificate.
    async fn lets_in(mode: ClientAuthMode, authority: &Authority, own: Option<Arc<CertifiedKey>>) -> bool {
        let server = Authority::new();
        let auth = ClientAuth { mode, roots: authority.pem.clone() };
        let acceptor = TlsAcceptor::from(config(&auth, vec![server.certified()], HTTP).unwrap());
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from("a.example.com").unwrap();
        let connector = client(&server, own);
        let (accepted, _) = tokio::join!(acceptor.accept(near), connector.connect(name, far));
        accepted.is_ok()
    }

    #[tokio::test]
    async fn lets_in_who_has_a_certificate_of_the_authority_and_nobody_else() {
        let (authority, other) = (Authority::new(), Authority::new());
        assert!(lets_in(ClientAuthMode::AllowValidOnly, &authority, Some(authority.certified())).await);
        assert!(!lets_in(ClientAuthMode::AllowValidOnly, &authority, Some(other.certified())).await);
        assert!(!lets_in(ClientAuthMode::AllowValidOnly, &authority, None).await);
    }

    #[tokio::test]
    async fn falls_back_to_letting_in_everybody_where_that_is_allowed() {
        let (authority, other) = (Authority::new(), Authority::new());
        for own in [Some(authority.certified()), Some(other.certified()), None] {
            assert!(lets_in(ClientAuthMode::AllowInsecureFallback, &authority, own).await);
        }
    }

    #[test]
    fn trusts_nobody_by_what_is_no_authority() {
        for roots in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"] {
            let auth = ClientAuth { mode: ClientAuthMode::AllowInsecureFallback, roots: roots.to_owned() };
            assert!(config(&auth, Vec::new(), HTTP).is_err(), "{roots:?}");
        }
    }
}

//! The certificate that the mock serves: of its own authority, made anew at every start and kept in memory only, or one that it was given.

use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The names in the leaf unless the options ask for others: every provider the gateway knows, and this machine.
pub const PROVIDER_NAMES: [&str; 8] = [
    "api.openai.com",
    "api.anthropic.com",
    "api.mistral.ai",
    "generativelanguage.googleapis.com",
    "us-central1-aiplatform.googleapis.com",
    "mock.openai.azure.com",
    "localhost",
    "127.0.0.1",
];

/// A certificate authority with one certificate to its name.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = common_name("mock-llm authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.certificate.pem()
    }

    /// An acceptor with a fresh leaf for `names`, offering HTTP/2 and HTTP/1.1.
    pub(crate) fn acceptor(&self, names: &[String]) -> anyhow::Result<TlsAcceptor> {
        let mut params = CertificateParams::new(names)?;
        // A subject of its own: the library's default name is the same for every certificate and would make the leaf look self-signed.
        params.distinguished_name = common_name("mock-llm leaf");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        acceptor(vec![leaf.der().clone()], key)
    }
}

/// A certificate with its key, from elsewhere.
#[derive(Clone)]
pub struct Identity {
    /// PEM: the leaf, then what signed it.
    pub chain: String,
    /// PEM.
    pub key: String,
}

impl Identity {
    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        // Errors of parsers may quote what they read.
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).ok().context("the key is not a key")?;
        acceptor(chain, key)
    }
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

//! A certificate authority for listeners, and a client that looks at the certificate it is served.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

/// An authority, made anew and kept for one test.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate for one name, with its key.
pub struct Leaf {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
    /// What a client is served.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// When it cannot be made or its certificate cannot be written.
    pub fn generate() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "listener authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let directory = TempDir::new()?;
        std::fs::write(directory.path().join("ca.pem"), certificate.pem())?;
        Ok(Self { certificate, issuer: Issuer::new(params, key), directory })
    }

    /// Its certificate, for curl.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A certificate for this name and no other.
    ///
    /// # Errors
    /// When the name cannot be in a certificate.
    pub fn leaf(&self, name: &str) -> anyhow::Result<Leaf> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        // The library's default subject is the same for every certificate and would make the leaf look self-signed.
        params.distinguished_name.push(DnType::CommonName, "listener leaf");
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() })
    }

    /// Makes a TLS handshake; gives the certificate that was served, verified for this name. Sessions are not resumed, since a resumed
    /// one shows the certificate of the first.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn handshake(&self, addr: SocketAddr, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut connection = ClientConnection::new(self.client()?, ServerName::try_from(name.to_owned())?)?;
        let mut stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let served = connection.peer_certificates().and_then(|chain| chain.first()).context("no certificate was served")?;
        Ok(served.to_vec())
    }

    fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

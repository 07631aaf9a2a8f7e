//! A certificate authority for listeners, and a client that looks at the certificate it is served.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
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

impl Leaf {
    /// Takes a client's connection as the server of this certificate. The handshake is made by the first reading or writing.
    ///
    /// # Errors
    /// When the key does not fit.
    pub fn serve(&self, stream: TcpStream) -> anyhow::Result<StreamOwned<ServerConnection, TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_no_client_auth();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let config = builder.with_single_cert(vec![CertificateDer::from(self.der.clone())], key)?;
        Ok(StreamOwned::new(ServerConnection::new(Arc::new(config))?, stream))
    }
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
        let StreamOwned { mut conn, mut sock } = self.connect(addr, name)?;
        while conn.is_handshaking() {
            conn.complete_io(&mut sock)?;
        }
        let served = conn.peer_certificates().and_then(|chain| chain.first()).context("no certificate was served")?;
        Ok(served.to_vec())
    }

    /// A connection to a server with a certificate for this name. The handshake is made by the first reading or writing.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(&self, addr: SocketAddr, name: &str) -> anyhow::Result<StreamOwned<ClientConnection, TcpStream>> {
        let connection = ClientConnection::new(self.client()?, ServerName::try_from(name.to_owned())?)?;
        let stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(StreamOwned::new(connection, stream))
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

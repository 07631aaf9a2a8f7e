//! The serving certificate: from the webhook's own authority, or from files that another keeps (cert-manager). Either is renewed while
//! connections come and go; a handshake gets what is current then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use parking_lot::RwLock;
use pod::authority::Authority;
use pod::tls::server_config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::options::Options;

/// How often files are read again. A Secret's volume is swapped by symlinks, which file events miss.
const LOOK: Duration = Duration::from_secs(5);

/// What API servers speak to webhooks, as ALPN calls it.
const PROTOCOL: &str = "http/1.1";

/// Where the serving certificate comes from.
pub enum Certificates {
    /// From the webhook's own authority.
    Own(Arc<Authority>),
    /// From files.
    Files(Arc<Files>),
}

impl Certificates {
    /// Reads or makes a certificate. Waits for what it needs.
    pub async fn start(client: Client, options: &Options) -> anyhow::Result<Self> {
        if let Some(directory) = &options.tls_dir {
            return Ok(Self::Files(Files::start(directory.clone())));
        }
        let authority = Authority::start(client, options.authority()).await?;
        // Every replica may renew the authority: the Secret's resource version lets one of them win, and the others take what it wrote.
        let (_, leads) = watch::channel(true);
        tokio::spawn(Arc::clone(&authority).run(leads));
        Ok(Self::Own(authority))
    }

    /// What the caBundle must hold; nothing where that is another's business.
    pub fn bundle(&self) -> Option<watch::Receiver<String>> {
        match self {
            Self::Own(authority) => Some(authority.bundle()),
            Self::Files(_) => None,
        }
    }

    /// The certificate that is served now.
    pub fn serving(&self) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Own(authority) => authority.serving(),
            Self::Files(files) => files.current.read().clone(),
        }
    }

    /// TLS for API servers.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let resolver = match self {
            Self::Own(authority) => authority.resolver(),
            Self::Files(files) => Arc::clone(files) as _,
        };
        server_config(resolver, PROTOCOL)
    }
}

/// When a certificate ends, in seconds since 1970.
pub fn ends(key: &CertifiedKey) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(key.cert.first()?).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// `tls.crt` and `tls.key` in a directory. Prints nothing of them.
pub struct Files {
    directory: PathBuf,
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.read().clone()
    }
}

impl Files {
    fn start(directory: PathBuf) -> Arc<Self> {
        let files = Arc::new(Self { directory, current: RwLock::new(None) });
        files.look();
        tokio::spawn(Arc::clone(&files).follow());
        files
    }

    async fn follow(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look();
        }
    }

    /// A pair that cannot be read, or does not fit together because it is being written, leaves the last one in service.
    fn look(&self) {
        match read(&self.directory) {
            Ok(key) => *self.current.write() = Some(Arc::new(key)),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "the certificate's files cannot be used"),
        }
    }
}

fn read(directory: &Path) -> anyhow::Result<CertifiedKey> {
    let text = |name: &str| std::fs::read(directory.join(name)).with_context(|| format!("read {}", directory.join(name).display()));
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&text("tls.crt")?).collect::<Result<_, _>>().ok().context("tls.crt is not PEM")?;
    // Errors of parsers may quote what they read.
    let key = PrivateKeyDer::from_pem_slice(&text("tls.key")?).ok().context("tls.key is not a key")?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider).ok().context("tls.crt and tls.key do not fit together")?;
    key.end_entity_cert().ok().context("tls.crt is empty")?;
    Ok(key)
}

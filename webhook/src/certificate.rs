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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use tempfile::TempDir;

    use super::*;

    const NAME: &str = "keyward-webhook.keyward-system.svc";

    /// A certificate and its key, PEM, and what a client is served of them.
    struct Pair {
        certificate: String,
        key: String,
        der: CertificateDer<'static>,
    }

    impl Pair {
        fn new() -> Self {
            let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
            Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
        }
    }

    /// A Secret's volume as a kubelet keeps it: files are links into `..data`, which is a link to a directory and is swapped whole.
    struct Volume {
        directory: TempDir,
        versions: usize,
    }

    impl Volume {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            for name in ["tls.crt", "tls.key"] {
                symlink(Path::new("..data").join(name), directory.path().join(name)).unwrap();
            }
            Self { directory, versions: 0 }
        }

        fn swap(&mut self, certificate: &str, key: &str) {
            self.versions += 1;
            let (volume, version) = (self.directory.path(), format!("..{}", self.versions));
            std::fs::create_dir(volume.join(&version)).unwrap();
            std::fs::write(volume.join(&version).join("tls.crt"), certificate).unwrap();
            std::fs::write(volume.join(&version).join("tls.key"), key).unwrap();
            symlink(&version, volume.join("..data_tmp")).unwrap();
            std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        }

        fn empty(&self) {
            std::fs::remove_file(self.directory.path().join("..data")).unwrap();
        }
    }

    /// What a client is served who trusts these.
    fn served(files: &Arc<Files>, trusted: &[&Pair]) -> CertificateDer<'static> {
        let mut roots = RootCertStore::empty();
        for pair in trusted {
            roots.add(pair.der.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).unwrap()).unwrap();
        let mut server = ServerConnection::new(Certificates::Files(Arc::clone(files)).server_config()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        client.peer_certificates().unwrap()[0].clone()
    }

    #[test]
    fn a_new_pair_is_served_when_it_is_whole_and_the_last_one_until_then() {
        let (old, new, mut volume) = (Pair::new(), Pair::new(), Volume::new());
        let files = Arc::new(Files { directory: volume.directory.path().to_owned(), current: RwLock::new(None) });
        files.look();
        assert!(files.current.read().is_none(), "there is nothing to serve");
        volume.swap(&old.certificate, &old.key);
        files.look();
        assert_eq!(served(&files, &[&old, &new]), old.der);

        let half = |text: &str| text[..text.len() / 2].to_owned();
        for (what, certificate, key) in [
            ("another's key", new.certificate.clone(), old.key.clone()),
            ("half a certificate", half(&new.certificate), new.key.clone()),
            ("a chain that is cut off", new.certificate.clone() + &half(&old.certificate), new.key.clone()),
            ("half a key", new.certificate.clone(), half(&new.key)),
            ("no certificate", String::new(), new.key.clone()),
            ("no key", new.certificate.clone(), String::new()),
        ] {
            volume.swap(&certificate, &key);
            files.look();
            assert_eq!(served(&files, &[&old, &new]), old.der, "{what}");
        }
        volume.empty();
        files.look();
        assert_eq!(served(&files, &[&old, &new]), old.der, "no files");

        volume.swap(&new.certificate, &new.key);
        files.look();
        assert_eq!(served(&files, &[&old, &new]), new.der);
    }
}

//! TLS on both sides: certificates by SNI towards clients, verification towards providers and pods.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use policy::{ListenerTable, Token, normalize_host};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::pod_tls::PodConfigs;
use crate::state::State;

/// Protocols, as ALPN has them.
pub(crate) const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
pub(crate) const HTTP1: &[&[u8]] = &[b"http/1.1"];
pub(crate) const HTTP2: &[&[u8]] = &[b"h2"];

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A listener's certificate, checked to fit its key. The error says what is wrong and shows neither.
pub(crate) fn certified_key(chain: &str, key: &Token) -> Result<Arc<CertifiedKey>, String> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| "tls.crt is not a PEM certificate chain".to_owned())?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| "tls.key is not a PEM private key".to_owned())?;
    let certified = CertifiedKey::from_der(chain, key, &provider());
    certified.map(Arc::new).map_err(|e| format!("tls.crt and tls.key cannot be used together: {e}"))
}

/// Authorities of a PEM bundle; those that cannot be understood are not trusted.
pub(crate) fn roots_of(pem: &str) -> Result<RootCertStore, String> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.map_err(|_| "the authorities are not PEM certificates".to_owned())?);
    match roots.is_empty() {
        true => Err("none of the authorities can be used".to_owned()),
        false => Ok(roots),
    }
}

/// Issues and takes back session tickets, for all ports and workers: a client resumes wherever it comes in.
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    rustls::crypto::aws_lc_rs::Ticketer::new()
}

/// The TLS settings of a listening port, for listeners where TLS ends and no client is asked for a certificate.
#[derive(Clone)]
pub(crate) struct Terminating {
    /// Offers HTTP/2 and HTTP/1.1.
    http: Arc<ServerConfig>,
    /// Offers nothing: what is inside is between the client and the backend.
    raw: Arc<ServerConfig>,
}

/// Certificates come from the state of the moment, so that a new one needs no new port.
pub(crate) fn terminating(port: u16, state: Arc<ArcSwap<State>>, ticketer: Arc<dyn ProducesTickets>) -> Result<Terminating, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut raw = builder.with_no_client_auth().with_cert_resolver(Arc::new(BySni { port, state }));
    raw.ticketer = ticketer;
    let mut http = raw.clone();
    http.alpn_protocols = protocols(HTTP);
    Ok(Terminating { http: Arc::new(http), raw: Arc::new(raw) })
}

impl Terminating {
    /// The terms of a listener of the port. `None`: it asks clients for certificates and cannot verify them, so it lets nobody in.
    pub(crate) fn terms(&self, listener: &ListenerTable, state: &State) -> Option<Arc<ServerConfig>> {
        if listener.client_auth.is_some() {
            return state.client_auth.get(&listener.name).cloned();
        }
        let open = if listener.protocol.has_requests() { &self.http } else { &self.raw };
        Some(Arc::clone(open))
    }
}

pub(crate) fn protocols(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

/// The first key that the client can check, else the first of all.
pub(crate) fn fitting<'k>(
    keys: impl Iterator<Item = &'k Arc<CertifiedKey>> + Clone,
    hello: &ClientHello<'_>,
) -> Option<&'k Arc<CertifiedKey>> {
    let fits = |key: &&'k Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
    keys.clone().find(fits).or_else(|| keys.clone().next())
}

/// Chooses the certificate of the listener that the client's SNI selects.
struct BySni {
    port: u16,
    state: Arc<ArcSwap<State>>,
}

impl std::fmt::Debug for BySni {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BySni").field("port", &self.port).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let state = self.state.load();
        let host = normalize_host(hello.server_name().unwrap_or_default());
        let listener = state.table.port(self.port)?.listener(&host)?;
        let keys = state.certificates.get(&listener.name)?;
        fitting(keys.iter().map(|certificate| &certificate.key), &hello).cloned()
    }
}

/// TLS settings towards providers and pods.
#[derive(Clone, Debug)]
pub(crate) struct ClientTls {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only: a connection that will be upgraded.
    pub(crate) http1: Arc<ClientConfig>,
    /// Towards pods.
    pub(crate) pods: Arc<PodConfigs>,
}

impl ClientTls {
    /// Trusts the system's authorities (Mozilla's where there are none, as in an image from scratch) and those of `extra`, files or
    /// directories of PEM.
    pub(crate) fn load(extra: &[PathBuf]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for path in extra {
            trust(&mut roots, path)?;
        }
        let roots = Arc::new(roots);
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        let mut any = builder.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
        any.alpn_protocols = protocols(HTTP);
        let mut http1 = any.clone();
        http1.alpn_protocols = protocols(HTTP1);
        Ok(Self { any: Arc::new(any), http1: Arc::new(http1), pods: Arc::new(PodConfigs::new(roots)) })
    }
}

/// TLS settings towards the control plane: only the authorities of this file count, and what is spoken is HTTP/2.
pub(crate) fn control_plane(ca: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    trust(&mut roots, ca)?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols(HTTP2);
    Ok(config)
}

/// Adds the authorities of a PEM file, or of all files in a directory but those with a dot in front: a mounted volume keeps its own
/// there.
fn trust(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let problem = |e: String| format!("{}: {e}", path.display());
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| problem(e.to_string()))?;
        let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(|e| problem(e.to_string()))?;
        entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file());
        return entries.iter().try_for_each(|entry| trust(roots, &entry.path()));
    }
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| problem(e.to_string()))?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|e| problem(e.to_string()))?;
    if certificates.is_empty() {
        return Err(problem("holds no PEM certificate".to_owned()));
    }
    certificates.into_iter().try_for_each(|certificate| roots.add(certificate).map_err(|e| problem(e.to_string())))
}

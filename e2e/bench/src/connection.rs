//! One client connection, plain or TLS, and one exchange on it with the whole answer checked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http1;
use crate::payload;

/// Room for an answer: no head and body of the bench is longer.
pub const SCRATCH: usize = 16 * 1024;

/// Opens connections to one address.
pub struct Dialer {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// An open connection.
pub struct Connection(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

impl Dialer {
    /// Plain, or TLS that trusts the certificate in `ca`.
    pub fn new(address: SocketAddr, ca: Option<&Path>) -> Result<Self> {
        let tls = ca.map(|ca| Ok::<_, anyhow::Error>((connector(ca)?, ServerName::try_from(payload::HOST)?))).transpose()?;
        Ok(Self { address, tls })
    }

    /// A new connection.
    pub async fn dial(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await.context("TLS handshake")?),
        }))
    }
}

/// The same handshake with every subject: TLS 1.3, X25519, AES-128-GCM, HTTP/1.1, nothing resumed.
fn connector(ca: &Path) -> Result<TlsConnector> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&std::fs::read(ca)?)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Connection {
    /// Sends a request.
    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.0.write_all(request).await.context("send")?;
        self.0.flush().await.context("send")
    }

    /// Reads what is there; an error at the end of the connection.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.0.read(buffer).await.context("receive")?;
        ensure!(read > 0, "the connection ended before the answer did");
        Ok(read)
    }

    /// Sends a request and checks that the answer is 200 with exactly `expected` in it.
    pub async fn exchange(&mut self, scratch: &mut [u8], request: &[u8], expected: &[u8]) -> Result<()> {
        self.send(request).await?;
        let mut filled = 0;
        loop {
            ensure!(filled < scratch.len(), "an answer of more than {SCRATCH} bytes");
            filled += self.read(&mut scratch[filled..]).await?;
            let answer = &scratch[..filled];
            if let Some(message) = http1::message(answer)? {
                check_status(answer)?;
                ensure!(message.total == filled, "{} bytes after the answer", filled - message.total);
                ensure!(*http1::body(answer, &message)? == *expected, "the answer's body is not the backend's");
                return Ok(());
            }
        }
    }

    /// Waits until the server has closed; how it did so does not matter here.
    pub async fn closed(&mut self, scratch: &mut [u8]) {
        while matches!(self.0.read(scratch).await, Ok(read) if read > 0) {}
    }
}

/// Refuses an answer that is not 200.
pub fn check_status(answer: &[u8]) -> Result<()> {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "answered {:?}", String::from_utf8_lossy(line));
    Ok(())
}

//! New connections to backends: TCP to the first address that answers, TLS where the backend is a provider or a policy wants it, HTTP/2
//! where it is agreed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use policy::config::AppProtocol;
use policy::{Origin, PodTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::UpstreamError;
use crate::pool::{Connection, PoolKey};
use crate::tls::{HTTP, HTTP1, HTTP2};
use crate::worker::Worker;

/// Bytes of a backend's response head that are read before it is refused.
const RESPONSE_HEAD: usize = 256 * 1024;
/// What one answer may send ahead of its reader. All of a connection's answers together fit into its window, so that a client that
/// stops reading never stops the others.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Pods tried for one request or connection before it fails: a refused connection costs nothing but time.
const PODS_TRIED: usize = 3;

/// Some of a backend's pods, starting anywhere among them.
pub(crate) fn tried(pods: &[SocketAddr]) -> impl Iterator<Item = &SocketAddr> {
    let first = if pods.len() > 1 { fastrand::usize(..pods.len()) } else { 0 };
    pods.iter().cycle().skip(first).take(pods.len().min(PODS_TRIED))
}

impl Worker {
    /// Connects to a pod in clear.
    pub(crate) async fn dial_pod(&self, address: SocketAddr, key: &PoolKey) -> Result<Connection, UpstreamError> {
        let stream = self.tcp(&[address]).await?;
        match key {
            PoolKey::PodH2(_) => self.http2(stream, key).await,
            PoolKey::Pod(_) | PoolKey::PodTls(..) | PoolKey::Provider(_) => http1(stream).await,
        }
    }

    /// Connects to a pod and verifies that it is who it should be. `upgrade`: the request will need HTTP/1.1.
    pub(crate) async fn dial_pod_tls(
        &self,
        address: SocketAddr,
        key: &PoolKey,
        (tls, protocol): (&PodTls, AppProtocol),
        upgrade: bool,
    ) -> Result<Connection, UpstreamError> {
        let stream = self.tcp(&[address]).await?;
        let alpn = match protocol {
            _ if upgrade => HTTP1,
            AppProtocol::Http1 => HTTP,
            AppProtocol::H2c => HTTP2,
        };
        let stream = self.secure_pod(stream, tls, alpn).await?;
        // A pod that speaks HTTP/2 by its Service may leave ALPN alone.
        match (stream.get_ref().1.alpn_protocol(), protocol) {
            (Some(b"h2"), _) => self.http2(stream, key).await,
            (None, AppProtocol::H2c) if !upgrade => self.http2(stream, key).await,
            _ => http1(stream).await,
        }
    }

    /// TLS over a connection to a pod, as its policy wants it. `alpn`: what is spoken there; nothing, for a stream of bytes.
    pub(crate) async fn secure_pod<S>(&self, stream: S, tls: &PodTls, alpn: &[&[u8]]) -> Result<TlsStream<S>, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.tls.pods.get(tls, alpn).map_err(UpstreamError::Tls)?;
        self.secure(stream, config, &tls.settings.sni).await
    }

    /// Connects to any of the pods, for a connection that is passed on.
    pub(crate) async fn dial_any(&self, pods: &[SocketAddr]) -> Result<TcpStream, UpstreamError> {
        let tried: SmallVec<[SocketAddr; PODS_TRIED]> = tried(pods).copied().collect();
        self.tcp(&tried).await
    }

    /// Connects to a provider and verifies that it is who it should be. `upgrade`: the request will need HTTP/1.1.
    pub(crate) async fn dial_provider(&self, origin: &Arc<Origin>, key: &PoolKey, upgrade: bool) -> Result<Connection, UpstreamError> {
        let found = timeout(self.options.connect_timeout, self.dns.addresses(&origin.host, origin.port)).await;
        let addresses = found.map_err(|_| UpstreamError::Dns("timed out".into()))?.map_err(UpstreamError::Dns)?;
        let stream = self.tcp(&addresses).await?;
        if !origin.tls {
            return http1(stream).await;
        }
        let config = if upgrade { &self.tls.http1 } else { &self.tls.any };
        let stream = self.secure(stream, Arc::clone(config), &origin.hostname).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http2(stream, key).await,
            _ => http1(stream).await,
        }
    }

    async fn secure<S>(&self, stream: S, config: Arc<ClientConfig>, name: &str) -> Result<TlsStream<S>, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(|e| UpstreamError::Tls(e.to_string()))?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let stream = timeout(self.options.connect_timeout, handshake).await;
        stream.map_err(|_| UpstreamError::Tls("timed out".into()))?.map_err(|e| UpstreamError::Tls(e.to_string()))
    }

    /// Tries all addresses in turn, each for a fair part of the time.
    async fn tcp(&self, addresses: &[SocketAddr]) -> Result<TcpStream, UpstreamError> {
        let share = self.options.connect_timeout / u32::try_from(addresses.len().clamp(1, 4)).unwrap_or(1);
        let mut last = UpstreamError::Connect("no address".into());
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Without it, small frames of a stream wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(e)) => last = UpstreamError::Connect(format!("{address}: {e}")),
                Err(_) => last = UpstreamError::Connect(format!("{address}: timed out")),
            }
        }
        Err(last)
    }

    async fn http2<S>(&self, stream: S, key: &PoolKey) -> Result<Connection, UpstreamError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30)).max_header_list_size(RESPONSE_HEAD as u32);
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(protocol)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP/2 connection to a backend ended");
            }
        });
        Ok(self.pool.share(key.clone(), sender))
    }
}

async fn http1<S>(stream: S) -> Result<Connection, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(RESPONSE_HEAD).max_header_size(RESPONSE_HEAD).writev(false);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(protocol)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "HTTP/1 connection to a backend ended");
        }
    });
    Ok(Connection::Http1(sender))
}

pub(crate) fn protocol(error: hyper::Error) -> UpstreamError {
    UpstreamError::Protocol(error.to_string())
}

//! Client connections: accepted, sniffed, decrypted, served as HTTP/1.1 or HTTP/2, and let finish when a port closes.

use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use policy::config::Protocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::request::{self, Via};
use crate::sniff::{HeadWatch, is_http2};
use crate::tls::server_config;
use crate::worker::Worker;

/// Bytes of a request's head; more is answered 431.
const REQUEST_HEAD: usize = 48 * 1024;
/// Bytes read ahead of a slow reader. Also the most that hyper takes of a head.
const READ_BUFFER: usize = 64 * 1024;
const HTTP2_STREAMS: u32 = 256;

/// A port that is accepted on. Dropped, it accepts no more and its connections finish what they are at.
pub(crate) struct Listening {
    accepting: tokio::task::JoinHandle<()>,
    closing: watch::Sender<bool>,
    /// Yields `None` when no connection is left.
    open: Option<mpsc::Receiver<()>>,
}

impl Listening {
    pub(crate) fn start(worker: &Arc<Worker>, port: u16, socket: TcpListener) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let protocol = worker.state.load().table.port(port).map(|table| table.protocol);
        let tls = match protocol {
            Some(Protocol::Https) => Some(server_config(port, Arc::clone(&worker.state)).map_err(std::io::Error::other)?),
            Some(Protocol::Http) | None => None,
        };
        let (closing, closed) = watch::channel(false);
        let (alive, open) = mpsc::channel(1);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepted = Accepted {
            via: Arc::new(Via { worker: Arc::clone(worker), port, scheme, _alive: alive }),
            tls: tls.map(TlsAcceptor::from),
            closed,
        };
        Ok(Self { accepting: tokio::spawn(accept(socket, accepted)), closing, open: Some(open) })
    }

    /// Stops accepting; the receiver ends with the last connection.
    pub(crate) fn drain(mut self) -> mpsc::Receiver<()> {
        self.open.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = self.closing.send(true);
    }
}

/// What every connection of a port needs.
#[derive(Clone)]
struct Accepted {
    via: Arc<Via>,
    tls: Option<TlsAcceptor>,
    closed: watch::Receiver<bool>,
}

async fn accept(socket: tokio::net::TcpListener, accepted: Accepted) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(accepted.clone().connection(stream))),
            Err(error) => {
                // Out of file descriptors, most likely: others will close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Accepted {
    async fn connection(self, stream: TcpStream) {
        let metrics = Arc::clone(&self.via.worker.metrics);
        metrics.connections.inc();
        self.serve(stream).await;
        metrics.connections.dec();
    }

    async fn serve(self, stream: TcpStream) {
        let patience = self.via.worker.options.header_timeout;
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => {
                if let Ok(Ok(http2)) = timeout(patience, is_http2(&stream)).await {
                    self.http(stream, http2).await;
                }
            }
            Some(tls) => match timeout(patience, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    self.http(stream, http2).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake with a client failed"),
                Err(_) => tracing::debug!("TLS handshake with a client took too long"),
            },
        }
    }

    async fn http<S>(self, stream: S, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let served = if http2 { self.http2(stream).await } else { self.http1(stream).await };
        if let Err(error) = served {
            tracing::debug!(%error, "client connection ended");
        }
    }

    async fn http1<S>(mut self, stream: S) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.via.worker.options.header_timeout);
        builder.max_buf_size(READ_BUFFER).max_header_size(REQUEST_HEAD).writev(false);
        let (watched, lengths) = HeadWatch::new(stream);
        let service = service_fn(|request| request::serve(&self.via, request, Some(&lengths)));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service).with_upgrades());
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = self.closed.wait_for(|closed| *closed) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    async fn http2<S>(mut self, stream: S) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS).max_header_list_size(REQUEST_HEAD as u32);
        builder.keep_alive_interval(Duration::from_secs(30)).adaptive_window(true);
        let via = Arc::clone(&self.via);
        let service = service_fn(move |request| {
            let via = Arc::clone(&via);
            async move { request::serve(&via, request, None).await }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = self.closed.wait_for(|closed| *closed) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

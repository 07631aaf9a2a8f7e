//! Client connections: accepted, sniffed, decrypted, served as HTTP/1.1 or HTTP/2, and let finish when a port closes.

use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use policy::config::Protocol;
use policy::normalize_host;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::request;
use crate::session::{Counted, Session, Via};
use crate::sniff::{HeadWatch, is_http2};
use crate::tls::Acceptor;
use crate::worker::Worker;

/// Bytes of a request's head; more is answered 431.
const REQUEST_HEAD: usize = 48 * 1024;
/// Bytes read ahead of a slow reader. Also the most that hyper takes of a head.
const READ_BUFFER: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection, and what each may have waiting for its reader.
const HTTP2_STREAMS: u32 = 100;
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
/// What a new connection on a closing port gets to say its first word.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How long an HTTP/1 connection without a request stays open on a closing port. Closed at once, it would take along the request that a
/// client is just sending; this way most clients hear of the end from an answer (RFC 9112 section 9.6). HTTP/2 has GOAWAY for that.
const GOODBYE: Duration = Duration::from_millis(500);

/// A port that is accepted on.
pub(crate) struct Listening {
    via: Arc<Via>,
    accepting: tokio::task::JoinHandle<()>,
    closing: watch::Sender<bool>,
    /// Yields `None` when no connection is left.
    open: mpsc::Receiver<()>,
}

impl Listening {
    pub(crate) fn start(worker: &Arc<Worker>, port: u16, socket: TcpListener, tls: Acceptor) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let (closing, closed) = watch::channel(false);
        let (alive, open) = mpsc::channel(1);
        let via = Arc::new(Via { worker: Arc::clone(worker), port, closing: AtomicBool::new(false), _alive: alive });
        let accepted = Accepted { via: Arc::clone(&via), tls, closed };
        Ok(Self { via, accepting: tokio::spawn(accept(socket, accepted)), closing, open })
    }

    /// Stops accepting, with nothing left in the backlog, and lets connections finish what they are at. The receiver ends with the
    /// last of them.
    pub(crate) async fn close(self) -> mpsc::Receiver<()> {
        let Self { via, accepting, closing, open } = self;
        via.closing.store(true, Ordering::Relaxed);
        // Whoever waits for the last connection must not wait for this.
        drop(via);
        let _ = closing.send(true);
        let _ = accepting.await;
        open
    }
}

/// What every connection of a port needs.
#[derive(Clone)]
struct Accepted {
    via: Arc<Via>,
    tls: Acceptor,
    closed: watch::Receiver<bool>,
}

async fn accept(socket: tokio::net::TcpListener, accepted: Accepted) {
    let mut closed = accepted.closed.clone();
    loop {
        let next = tokio::select! {
            biased;
            next = socket.accept() => next,
            _ = closed.wait_for(|closed| *closed) => return,
        };
        match next {
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
        let _counted = Counted::new(&self.via);
        let options = &self.via.worker.options;
        let _ = stream.set_nodelay(true);
        // Ends a connection whose peer has gone, or reads nothing for so long.
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(options.idle_timeout));
        let protocol = self.via.worker.state.load().table.port(self.via.port).map(|port| port.protocol);
        match protocol {
            None => {}
            Some(Protocol::Http) => self.plain(stream).await,
            Some(Protocol::Https) => self.secured(stream).await,
        }
    }

    async fn plain(self, stream: TcpStream) {
        if let Some(Ok(http2)) = self.patiently(is_http2(&stream)).await {
            let session = Session::new(Arc::clone(&self.via), "http", None);
            self.http(stream, session, http2).await;
        }
    }

    async fn secured(self, stream: TcpStream) {
        let shaken = Box::pin(self.patiently(self.tls.accept(stream))).await;
        match shaken.unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let session = Session::new(Arc::clone(&self.via), "https", server_name(&stream));
                self.http(stream, session, http2).await;
            }
            Err(error) => tracing::debug!(%error, "TLS handshake with a client failed"),
        }
    }

    /// Waits as long as a client may take for its first words; not long when the port closes.
    async fn patiently<T>(&self, words: impl Future<Output = T>) -> Option<T> {
        let mut closed = self.closed.clone();
        let closing = async {
            let _ = closed.wait_for(|closed| *closed).await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            said = timeout(self.via.worker.options.header_timeout, words) => said.ok(),
            () = closing => None,
        }
    }

    async fn http<S>(self, stream: S, session: Session, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A connection's memory is that of its largest future: only the one that runs is made.
        let served = if http2 { Box::pin(self.http2(stream, session)).await } else { Box::pin(self.http1(stream, session)).await };
        if let Err(error) = served {
            tracing::debug!(%error, "client connection ended");
        }
    }

    async fn http1<S>(mut self, stream: S, mut session: Session) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.via.worker.options.header_timeout);
        builder.max_buf_size(READ_BUFFER).max_header_size(REQUEST_HEAD).writev(false);
        let (watched, lengths) = HeadWatch::new(stream);
        session.lengths = Some(lengths);
        let session = Arc::new(session);
        let serving = &session;
        let service = service_fn(move |request| async move {
            let mut response = request::serve(serving, request).await?;
            if serving.via.closing.load(Ordering::Relaxed) {
                say_goodbye(&mut response);
            }
            Ok::<_, Infallible>(response)
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service).with_upgrades());
        // In this order: a request that is already here is served, even when the port closes.
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            _ = self.closed.wait_for(|closed| *closed) => {}
        }
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            () = tokio::time::sleep(GOODBYE) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }

    async fn http2<S>(mut self, stream: S, session: Session) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
        builder.max_concurrent_streams(HTTP2_STREAMS).max_send_buf_size(HTTP2_SEND_BUFFER).max_header_list_size(REQUEST_HEAD as u32);
        builder.initial_stream_window_size(256 * 1024).initial_connection_window_size(HTTP2_STREAMS * 256 * 1024);
        let session = Arc::new(session);
        let serving = Arc::clone(&session);
        let service = service_fn(move |request| {
            let session = Arc::clone(&serving);
            async move { request::serve(&session, request).await }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended,
            _ = self.closed.wait_for(|closed| *closed) => {}
            () = idle(&session, self.via.worker.options.header_timeout) => {}
        }
        connection.as_mut().graceful_shutdown();
        connection.await
    }
}

/// hyper closes the connection after an answer with this.
fn say_goodbye<B>(response: &mut Response<B>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn server_name(stream: &TlsStream<TcpStream>) -> Option<String> {
    stream.get_ref().1.server_name().map(|name| normalize_host(name).into_owned())
}

/// Ends when the client has sent no request for a whole `limit`, and none is being answered. HTTP/1 has hyper's timer for that.
async fn idle(session: &Session, limit: Duration) {
    let mut ticks = tokio::time::interval(limit.max(Duration::from_millis(1)));
    ticks.tick().await;
    let mut before = session.idle_since();
    loop {
        ticks.tick().await;
        let now = session.idle_since();
        if now.is_some() && now == before {
            return;
        }
        before = now;
    }
}

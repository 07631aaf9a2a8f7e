//! Client connections: accepted, sniffed, decrypted, served as HTTP/1.1 or HTTP/2 or passed on as they are, and let finish when a port
//! closes.

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
use policy::{Family, Passage, Protocol, Reason, pass};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::hello::{Hello, hear};
use crate::metrics::Carried;
use crate::request;
use crate::session::{Counted, Session, Via};
use crate::sniff::{HeadWatch, is_http2};
use crate::stream::{ask_for_life, join};
use crate::tls::Terminating;
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
    pub(crate) fn start(worker: &Arc<Worker>, port: u16, socket: TcpListener, tls: Terminating) -> std::io::Result<Self> {
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

/// What becomes of a connection that begins with no request.
enum Way {
    /// It is decrypted under these terms, and then requests come.
    Http(Arc<ServerConfig>),
    /// It is decrypted under these terms and passed on.
    Decrypted(Passage, Arc<ServerConfig>),
    /// It is passed on as it is.
    On(Passage),
}

/// What every connection of a port needs.
#[derive(Clone)]
struct Accepted {
    via: Arc<Via>,
    tls: Terminating,
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
        let family = self.via.worker.state.load().table.port(self.via.port).map(|port| port.family);
        match family {
            None | Some(Family::Datagram) => {}
            Some(Family::Plain) => {
                if let Some(Ok(http2)) = self.patiently(is_http2(&stream)).await {
                    let session = Session::new(Arc::clone(&self.via), "http", None);
                    self.http(stream, session, http2).await;
                }
            }
            Some(Family::Encrypted) => Box::pin(self.encrypted(stream)).await,
            Some(Family::Stream) => Box::pin(self.plain(stream)).await,
        }
    }

    /// Nothing is known of a plain connection but its port.
    async fn plain(self, stream: TcpStream) {
        ask_for_life(&stream);
        match self.judge("") {
            Ok(Way::On(passage)) => self.joined(stream, passage, Vec::new(), Carried::Tcp).await,
            // The listener was another a moment ago.
            Ok(Way::Http(_) | Way::Decrypted(..)) => {}
            Err(reason) => self.refuse(reason),
        }
    }

    /// What a client asks for in its first words decides who answers it; whoever is nobody's gets no answer at all.
    async fn encrypted(self, stream: TcpStream) {
        ask_for_life(&stream);
        let Some(hello) = Box::pin(self.heard(hear(stream))).await else { return };
        let name = hello.name.clone();
        match self.judge(name.as_deref().unwrap_or_default()) {
            Ok(Way::Http(config)) => {
                let Some(stream) = self.handshake(hello, config).await else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let session = Session::new(Arc::clone(&self.via), "https", name);
                self.http(stream, session, http2).await;
            }
            Ok(Way::Decrypted(passage, config)) => {
                let Some(stream) = self.handshake(hello, config).await else { return };
                Box::pin(self.joined(stream, passage, Vec::new(), Carried::Tls)).await;
            }
            Ok(Way::On(passage)) => {
                let (first, stream) = hello.into_parts();
                Box::pin(self.joined(stream, passage, first, Carried::Tls)).await;
            }
            Err(reason) => self.refuse(reason),
        }
    }

    async fn handshake(&self, hello: Hello<TcpStream>, config: Arc<ServerConfig>) -> Option<TlsStream<TcpStream>> {
        Box::pin(self.heard(hello.handshake(config))).await
    }

    /// A step of a handshake; `None`: it failed, or took too long.
    async fn heard<T>(&self, step: impl Future<Output = std::io::Result<T>>) -> Option<T> {
        let heard = self.patiently(step).await.unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into()));
        heard.inspect_err(|error| tracing::debug!(%error, "a TLS handshake with a client failed")).ok()
    }

    /// What becomes of a connection with that SNI.
    fn judge(&self, name: &str) -> Result<Way, Reason> {
        let state = self.via.worker.state.load();
        let listener = state.table.port(self.via.port).and_then(|port| port.listener(name)).ok_or(Reason::NoRoute)?;
        let passed = || pass(listener, name, fastrand::u64(..));
        let terms = || self.tls.terms(listener, &state).ok_or(Reason::NoRoute);
        match listener.protocol {
            // Nobody can answer for it.
            protocol if protocol.terminates_tls() && !state.certificates.contains_key(&listener.name) => Err(Reason::NoRoute),
            Protocol::Https => terms().map(Way::Http),
            Protocol::Tls => Ok(Way::Decrypted(passed()?, terms()?)),
            Protocol::TlsPassthrough | Protocol::Tcp => passed().map(Way::On),
            Protocol::Http | Protocol::Udp => Err(Reason::NoRoute),
        }
    }

    fn refuse(&self, reason: Reason) {
        self.via.worker.metrics.refused(reason);
        tracing::info!(reason = reason.label(), listener.port = self.via.port, "connection refused");
    }

    /// Passes a connection on until both sides are done, or the port was closed and nobody waits for it any longer.
    async fn joined<S>(mut self, stream: S, passage: Passage, first: Vec<u8>, carried: Carried)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = self.via.worker.options.drain_timeout;
        let overdue = async {
            let _ = self.closed.wait_for(|closed| *closed).await;
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            () = join(&self.via, stream, passage, first, carried) => {}
            () = overdue => tracing::debug!(listener.port = self.via.port, "a connection on a closed port was cut"),
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

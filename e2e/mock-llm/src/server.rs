//! The accept loop: TLS or plain, HTTP/1.1 or HTTP/2, and the tearing down of connections. Knows nothing of endpoints.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::journal::Journal;
use crate::wire::{Shared, Teardown};
use crate::{Options, api};

/// What all connections share.
pub(crate) struct State {
    pub(crate) journal: Journal,
    pub(crate) keys: RwLock<Vec<String>>,
    pub(crate) frames: usize,
    pub(crate) gap: Duration,
    pub(crate) base_path: String,
    connections: AtomicU64,
}

impl State {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            journal: Journal::default(),
            keys: RwLock::new(options.keys.clone()),
            frames: options.frames,
            gap: options.gap,
            base_path: options.base_path.clone(),
            connections: AtomicU64::new(0),
        }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One connection as a request sees it.
pub(crate) struct Seat {
    pub(crate) state: Arc<State>,
    pub(crate) tear: mpsc::UnboundedSender<Teardown>,
}

/// Binds a listener and says where it ended up.
pub(crate) async fn bind(addr: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// Serves the provider until the task is aborted; its connections end with it.
pub(crate) async fn run(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                state.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&state)));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    // Without this, Nagle's algorithm would merge streamed frames and hide a proxy that does the same.
    let _ = stream.set_nodelay(true);
    match acceptor {
        None => {
            let h2 = speaks_h2_unasked(&stream).await;
            serve(stream, h2, state).await;
        }
        Some(acceptor) => {
            // A client that does not trust us ends here, and leaves nothing in the journal.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            serve(stream, h2, state).await;
        }
    }
}

/// Whether the first bytes are HTTP/2's connection preface (RFC 9113, section 3.4).
async fn speaks_h2_unasked(stream: &TcpStream) -> bool {
    let mut start = [0; 3];
    matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI"
}

async fn serve<S>(stream: S, h2: bool, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Shared::new(stream);
    let (tear, mut torn) = mpsc::unbounded_channel();
    let seat = Arc::new(Seat { state, tear });
    let how = tokio::select! {
        () = serve_http(shared.clone(), h2, seat) => None,
        how = torn.recv() => how,
    };
    if let Some(how) = how {
        shared.tear_down(how).await;
    }
}

async fn serve_http<S>(stream: Shared<S>, h2: bool, seat: Arc<Seat>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| {
        let seat = Arc::clone(&seat);
        async move { Ok::<_, Infallible>(api::answer(&seat, request).await) }
    });
    // How a connection ended is the client's business; what matters to a test is in the journal.
    if h2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service).await;
    }
}

//! The admin port: metrics, probes, and, for who is on the same host or in the same pod, what is configured, with tokens as fingerprints.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use policy::Compiler;

use crate::metrics::Metrics;
use crate::state::State;

/// The running admin port, on a thread of its own: a scrape takes nothing from requests.
pub(crate) struct Admin {
    address: SocketAddr,
    pages: Arc<Pages>,
}

/// What is shown there.
pub(crate) struct Pages {
    compiler: Arc<Mutex<Compiler>>,
    state: Arc<ArcSwap<State>>,
    metrics: Arc<Metrics>,
    configured: AtomicBool,
    draining: AtomicBool,
}

impl Admin {
    pub(crate) fn start(address: SocketAddr, pages: Pages) -> std::io::Result<Self> {
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let pages = Arc::new(pages);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&pages);
        std::thread::Builder::new().name("admin".into()).spawn(move || runtime.block_on(accept(socket, served)))?;
        Ok(Self { address, pages })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on ready: a configuration is in force and its ports are open.
    pub(crate) fn set_configured(&self) {
        self.pages.configured.store(true, Ordering::Release);
    }

    /// From now on not ready: load balancers look elsewhere.
    pub(crate) fn set_draining(&self) {
        self.pages.draining.store(true, Ordering::Relaxed);
    }
}

async fn accept(socket: std::net::TcpListener, pages: Arc<Pages>) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "no admin port"),
    };
    loop {
        let Ok((stream, peer)) = socket.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let page = pages.page(&request, peer.ip());
                async { Ok::<_, Infallible>(page) }
            });
            let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

impl Pages {
    pub(crate) fn new(compiler: Arc<Mutex<Compiler>>, state: Arc<ArcSwap<State>>, metrics: Arc<Metrics>) -> Self {
        Self { compiler, state, metrics, configured: AtomicBool::new(false), draining: AtomicBool::new(false) }
    }

    fn page(&self, request: &Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => self.metrics(),
            "/config_dump" if peer.to_canonical().is_loopback() => self.dump(),
            // Fingerprints are no secrets, but names, hosts and addresses of a whole Gateway are nobody else's business either.
            "/config_dump" => text(
                StatusCode::FORBIDDEN,
                "the configuration is shown to loopback peers only; kubectl port-forward makes you one, as in\n\
                 kubectl port-forward POD 15000 & curl http://127.0.0.1:15000/config_dump\n",
            ),
            _ => text(StatusCode::NOT_FOUND, "/metrics /readyz /livez /config_dump\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        match (self.draining.load(Ordering::Relaxed), self.configured.load(Ordering::Acquire)) {
            (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            (false, false) => text(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet\n"),
            (false, true) => text(StatusCode::OK, "ok\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let state = self.state.load();
        let ages: Vec<_> = state.credentials.iter().map(|(name, loaded)| (name.clone(), loaded.since.elapsed().as_secs_f64())).collect();
        match self.metrics.encode(&ages) {
            Ok(page) => typed(StatusCode::OK, "text/plain; version=0.0.4", page),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    fn dump(&self) -> Response<Full<Bytes>> {
        // Copied first, which is pointers: printing would hold up the next change.
        let config = self.compiler.lock().config().clone();
        match serde_json::to_string_pretty(&config) {
            Ok(page) => typed(StatusCode::OK, "application/json", page),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

fn text(status: StatusCode, page: &str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", page.to_owned())
}

fn typed(status: StatusCode, kind: &'static str, page: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

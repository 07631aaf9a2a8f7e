//! A backend behind a Service: HTTP/1.1, and HTTP/2 with prior knowledge. It answers with what it received, as well or as badly as the
//! request's own headers ask. Knows nothing of the gateway.

mod wishes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::background::Background;
use crate::{Payload, service};
use wishes::{Read, Wishes};

/// Size of the pieces in which an answer of a certain size is sent.
const PIECE: usize = 16 * 1024;

/// A running backend; ends when dropped, with all of its connections.
pub struct Echo {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

#[derive(Default)]
struct Shared {
    name: String,
    connections: AtomicU64,
    requests: AtomicU64,
    abandoned: AtomicU64,
    body_received: AtomicU64,
    body_sent: AtomicU64,
    journal: Mutex<Vec<Echoed>>,
}

impl Echo {
    /// Starts a backend that calls itself `name`. A request says how it is answered:
    ///
    /// | header | answer |
    /// |---|---|
    /// | `x-echo-at: NAME` | the wishes are for the backend of this name only |
    /// | `x-echo-status: 503` | this status |
    /// | `x-echo-fail-first: N` | that status only for the first N requests of this backend, then 200 |
    /// | `x-echo-drop: N` | no answer to the first N requests of this backend: the connection, or the stream, is dropped |
    /// | `x-echo-delay: MS` | after this pause |
    /// | `x-echo-header: NAME=VALUE` | with this header |
    /// | `x-echo-trailers: NAME=VALUE,..` | with these trailers |
    /// | `x-echo-bytes: N` | a body of N bytes, of unknown length, instead of JSON |
    /// | `x-echo-pause: MS` | with this pause before each of its pieces |
    /// | `x-echo-read: never` | without reading the request's body |
    /// | `x-echo-read: later` | head and `early\n` before the body is read, JSON afterwards |
    /// | `x-echo-read: hang` | none, and the body is not read either |
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(name: &str) -> anyhow::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), name)
    }

    /// As [`Self::start`], on an address that others than this machine reach.
    ///
    /// # Errors
    /// When the address is not here.
    pub fn start_on(ip: IpAddr, name: &str) -> anyhow::Result<Self> {
        let background = Background::start()?;
        let shared = Arc::new(Shared { name: name.to_owned(), ..Shared::default() });
        let listener = background.run(TcpListener::bind((ip, 0)))?;
        let addr = listener.local_addr()?;
        let accepting = Arc::clone(&shared);
        background.run(async { drop(tokio::spawn(accept(listener, accepting))) });
        Ok(Self { addr, shared, _background: background })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A Service of this name on port 80, and the EndpointSlice that leads here. HTTP/1.1.
    #[must_use]
    pub fn manifests(&self, name: &str) -> String {
        service(name, &[self.addr], None)
    }

    /// As [`Self::manifests`], in HTTP/2 with prior knowledge.
    #[must_use]
    pub fn manifests_h2c(&self, name: &str) -> String {
        service(name, &[self.addr], Some("kubernetes.io/h2c"))
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Requests whose heads came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests that the other side gave up before their answer was sent.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Bytes of request bodies read so far.
    #[must_use]
    pub fn body_received(&self) -> u64 {
        self.shared.body_received.load(Ordering::Relaxed)
    }

    /// Bytes of answers of a certain size taken by the connection so far.
    #[must_use]
    pub fn body_sent(&self) -> u64 {
        self.shared.body_sent.load(Ordering::Relaxed)
    }

    /// Requests received to their end so far, in that order.
    #[must_use]
    pub fn journal(&self) -> Vec<Echoed> {
        self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A request as a backend received it, and told it in its answer.
#[derive(Clone, Debug)]
pub struct Echoed(Value);

impl Echoed {
    /// Reads an answer's body.
    ///
    /// # Errors
    /// When it is not JSON: another answered than the backend, or something else was wished for.
    pub fn read(body: &[u8]) -> anyhow::Result<Self> {
        let value = serde_json::from_slice(body).with_context(|| format!("not the backend's words: {}", String::from_utf8_lossy(body)))?;
        Ok(Self(value))
    }

    /// Name of the backend.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.text("backend")
    }

    /// Method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text("method")
    }

    /// The target as it stood in the request line; path and query of an HTTP/2 request.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text("target")
    }

    /// `HTTP/1.1` or `HTTP/2.0`.
    #[must_use]
    pub fn version(&self) -> &str {
        self.text("version")
    }

    /// The `Host` header or `:authority`.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text("host")
    }

    /// All values of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.values("headers", name)
    }

    /// All values of a trailer, by its lower-case name.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Vec<&str> {
        self.values("trailers", name)
    }

    /// Bytes of the body.
    #[must_use]
    pub fn body_length(&self) -> u64 {
        self.0.get("body_length").and_then(Value::as_u64).unwrap_or_default()
    }

    fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    fn values(&self, field: &str, name: &str) -> Vec<&str> {
        let pairs = self.0.get(field).and_then(Value::as_array).into_iter().flatten();
        let named = pairs.filter(|pair| pair.get(0).and_then(Value::as_str) == Some(name));
        named.filter_map(|pair| pair.get(1).and_then(Value::as_str)).collect()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut start = [0; 3];
    let h2 = matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI";
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // How a connection ended is for the gateway to handle; what matters to a test is counted.
    if h2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// A request being answered. Dropped before it is settled, it was given up by the other side.
struct Visit {
    shared: Arc<Shared>,
    settled: bool,
}

impl Visit {
    fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An error here makes hyper drop the connection, or the HTTP/2 stream, without an answer.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> std::io::Result<Response<Payload>> {
    let nth = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let visit = Visit { shared: Arc::clone(&shared), settled: false };
    let (head, body) = request.into_parts();
    let wishes = Wishes::of(&head.headers, &shared.name);
    if nth <= wishes.drop {
        visit.settle();
        return Err(std::io::Error::other("dropped, as the request asks"));
    }
    match wishes.read {
        Read::First => {
            let echoed = receive(&shared, &head, body).await?;
            sleep(wishes.delay).await;
            Ok(wished(&wishes, nth, echoed, visit))
        }
        Read::Later => Ok(early(shared, head, body, visit)),
        Read::Never => {
            sleep(wishes.delay).await;
            let unread = Echoed(json!({"backend": shared.name}));
            Ok(wished(&wishes, nth, unread, visit))
        }
        Read::Hang => {
            std::future::pending::<()>().await;
            drop(body);
            Err(std::io::Error::other("cannot be reached"))
        }
    }
}

/// Reads the body to its end and writes the request down.
async fn receive(shared: &Shared, head: &request::Parts, mut body: Incoming) -> std::io::Result<Echoed> {
    let (mut length, mut trailers) = (0, HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(std::io::Error::other)?.into_data() {
            Ok(data) => {
                length += data.len() as u64;
                shared.body_received.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    let echoed = Echoed(json!({
        "backend": shared.name,
        "method": head.method.as_str(),
        "target": target(head),
        "version": format!("{:?}", head.version),
        "host": host(head),
        "headers": pairs(&head.headers),
        "trailers": pairs(&trailers),
        "body_length": length,
    }));
    shared.journal.lock().unwrap_or_else(PoisonError::into_inner).push(echoed.clone());
    Ok(echoed)
}

fn target(head: &request::Parts) -> String {
    match head.version {
        Version::HTTP_2 => head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        _ => head.uri.to_string(),
    }
}

fn host(head: &request::Parts) -> String {
    let header = || head.headers.get(http::header::HOST).map(text).unwrap_or_default();
    match head.version {
        Version::HTTP_2 => head.uri.authority().map_or_else(header, ToString::to_string),
        _ => header(),
    }
}

fn pairs(headers: &HeaderMap) -> Value {
    headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The answer that was wished for.
fn wished(wishes: &Wishes, nth: u64, echoed: Echoed, visit: Visit) -> Response<Payload> {
    let name = visit.shared.name.clone();
    let status = if nth <= wishes.fail_first { wishes.status } else { StatusCode::OK };
    let bodyless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let payload = if bodyless {
        visit.settle();
        Payload::empty()
    } else if let Some(bytes) = wishes.bytes {
        let (sender, payload) = Payload::stream();
        tokio::spawn(pieces(sender, bytes, wishes.pause, visit));
        payload
    } else if wishes.trailers.is_empty() {
        visit.settle();
        Payload::whole(echoed.0.to_string())
    } else {
        let (sender, payload) = Payload::stream();
        tokio::spawn(with_trailers(sender, echoed, wishes.trailers.clone(), visit));
        payload
    };
    let mut response = Response::new(payload);
    *response.status_mut() = status;
    response.headers_mut().extend(wishes.headers.clone());
    response.headers_mut().extend(HeaderValue::try_from(name).ok().map(|name| (http::HeaderName::from_static("x-backend"), name)));
    // HTTP/1.1 sends only those trailers that are announced.
    let announced = wishes.trailers.keys().map(|name| (http::header::TRAILER, HeaderValue::from(name.clone())));
    response.headers_mut().extend(announced);
    response
}

async fn pieces(sender: mpsc::Sender<Frame<Bytes>>, bytes: usize, pause: std::time::Duration, visit: Visit) {
    let piece = Bytes::from(vec![b'.'; PIECE]);
    let mut left = bytes;
    while left > 0 {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let size = left.min(PIECE);
        if sender.send(Frame::data(piece.slice(..size))).await.is_err() {
            return;
        }
        visit.shared.body_sent.fetch_add(size as u64, Ordering::Relaxed);
        left -= size;
    }
    visit.settle();
}

async fn with_trailers(sender: mpsc::Sender<Frame<Bytes>>, echoed: Echoed, trailers: HeaderMap, visit: Visit) {
    let data = sender.send(Frame::data(Bytes::from(echoed.0.to_string()))).await;
    if data.is_ok() && sender.send(Frame::trailers(trailers)).await.is_ok() {
        visit.settle();
    }
}

/// The head and a first line at once; what was received, when it was.
fn early(shared: Arc<Shared>, head: request::Parts, body: Incoming, visit: Visit) -> Response<Payload> {
    let (sender, payload) = Payload::stream();
    tokio::spawn(async move {
        let first = sender.send(Frame::data(Bytes::from_static(b"early\n"))).await;
        if let (Ok(()), Ok(echoed)) = (first, receive(&shared, &head, body).await)
            && sender.send(Frame::data(Bytes::from(echoed.0.to_string()))).await.is_ok()
        {
            visit.settle();
        }
    });
    Response::new(payload)
}

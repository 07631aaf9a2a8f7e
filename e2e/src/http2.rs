//! An HTTP/2 client with prior knowledge, on one connection. For what curl does not show: trailers, concurrent streams, a stream given up.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use http::{HeaderMap, Request, Response, request};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Payload;
use crate::background::Background;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection; closed when dropped.
pub struct Http2 {
    sender: SendRequest<Payload>,
    background: Background,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Http2Answer {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Trailers; none when none came.
    pub trailers: HeaderMap,
}

impl Http2 {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens or the other side speaks no HTTP/2.
    pub fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let background = Background::start()?;
        let sender = background.run(async {
            let stream = TcpStream::connect(addr).await.with_context(|| format!("cannot connect to {addr}"))?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            anyhow::Ok(sender)
        })?;
        Ok(Self { sender, background })
    }

    /// A request to `gateway.test`, to be given headers and a body.
    pub fn request(method: &str, target: &str) -> request::Builder {
        Request::builder().method(method).uri(format!("http://gateway.test{target}"))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When none comes, or not to its end.
    pub fn send(&self, request: Request<Payload>) -> anyhow::Result<Http2Answer> {
        self.run(exchange(self.sender.clone(), request))
    }

    /// Sends a request without a body and reads the whole answer.
    ///
    /// # Errors
    /// When none comes, or not to its end.
    pub fn get(&self, target: &str) -> anyhow::Result<Http2Answer> {
        self.send(Self::request("GET", target).body(Payload::empty())?)
    }

    /// Sends all requests at once and reads the answers, which are in the order of the requests.
    ///
    /// # Errors
    /// When one of them does not come to its end.
    pub fn send_all(&self, requests: Vec<Request<Payload>>) -> anyhow::Result<Vec<Http2Answer>> {
        let begun: Vec<_> = requests.into_iter().map(|request| self.spawn(request)).collect();
        begun.into_iter().map(|answer| self.run(answer)?).collect()
    }

    /// Sends a request and goes on. Aborting the handle gives the stream up.
    pub fn spawn(&self, request: Request<Payload>) -> JoinHandle<anyhow::Result<Http2Answer>> {
        let sender = self.sender.clone();
        self.background.spawn(exchange(sender, request))
    }

    /// Sends a request and waits for the head of its answer. Dropping that gives the stream up.
    ///
    /// # Errors
    /// When none comes.
    pub fn begin(&self, request: Request<Payload>) -> anyhow::Result<Response<Incoming>> {
        self.run(begin(self.sender.clone(), request))
    }

    /// The next data frame of an answer; empty at its end.
    ///
    /// # Errors
    /// When none comes.
    pub fn next_data(&self, response: &mut Response<Incoming>) -> anyhow::Result<Bytes> {
        self.run(next_data(response))
    }

    /// Reads the rest of an answer.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn finish(&self, response: Response<Incoming>) -> anyhow::Result<Http2Answer> {
        self.run(finish(response))
    }

    /// Runs a future where the connection is, and blocks for it.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.background.run(future)
    }
}

async fn begin(mut sender: SendRequest<Payload>, request: Request<Payload>) -> anyhow::Result<Response<Incoming>> {
    sender.ready().await?;
    Ok(timeout(PATIENCE, sender.send_request(request)).await.context("no answer")??)
}

async fn next_data(response: &mut Response<Incoming>) -> anyhow::Result<Bytes> {
    match timeout(PATIENCE, response.body_mut().frame()).await.context("no next frame")? {
        Some(frame) => Ok(frame?.into_data().unwrap_or_default()),
        None => Ok(Bytes::new()),
    }
}

async fn finish(response: Response<Incoming>) -> anyhow::Result<Http2Answer> {
    let (head, body) = response.into_parts();
    let body = timeout(PATIENCE, body.collect()).await.context("no end of the answer")??;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Http2Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
}

async fn exchange(sender: SendRequest<Payload>, request: Request<Payload>) -> anyhow::Result<Http2Answer> {
    finish(begin(sender, request).await?).await
}

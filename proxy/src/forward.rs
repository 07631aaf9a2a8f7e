//! A permitted request to its backend: a connection, the request, the head of the answer; again where that is safe.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use policy::config::AppProtocol;
use policy::{CompiledBackend, CompiledRule, Permitted, PodTls, RetryPolicy, Target};
use tokio::time::{Instant, sleep, timeout};

use crate::body::{RequestBody, after};
use crate::connect::{protocol, tried};
use crate::error::UpstreamError;
use crate::pool::{Connection, Lease, PoolKey};
use crate::worker::Worker;

/// A request body up to this size is kept for another try, where the rule has retries; a larger one is sent once.
const KEPT_BODY: u64 = 64 * 1024;
/// Idle connections that turn out closed before a new one is made.
const STALE_TRIED: usize = 3;

/// The head of a backend's answer.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Option<Lease>,
    /// When the whole exchange must be over.
    pub(crate) deadline: Option<Instant>,
}

/// Sends a request and waits for its answer to begin.
pub(crate) async fn forward(
    worker: &Arc<Worker>,
    rule: &CompiledRule,
    permitted: Permitted,
    body: RequestBody,
    upgrade: bool,
) -> Result<Answer, UpstreamError> {
    let (head, backend) = permitted.into_parts();
    let tries = Tries { worker, rule, backend: &backend, upgrade };
    let refused = body.refused();
    let request = Request::from_parts(head, body);
    let blamed = |error| match error {
        UpstreamError::Protocol(_) if refused.is_some_and(|refused| refused.load(Ordering::Relaxed)) => UpstreamError::RequestBody,
        error => error,
    };
    let Some(limit) = rule.request_timeout else { return tries.run(request).await.map_err(blamed) };
    let deadline = after(limit);
    let answer = timeout(limit, tries.run(request)).await.map_err(|_| UpstreamError::Timeout)?;
    answer.map_err(blamed).map(|answer| Answer { deadline: Some(answer.deadline.map_or(deadline, |own| own.min(deadline))), ..answer })
}

/// All tries of one request, which has an origin-form target and a `Host`.
struct Tries<'t> {
    worker: &'t Arc<Worker>,
    rule: &'t CompiledRule,
    backend: &'t CompiledBackend,
    upgrade: bool,
}

/// How sending went wrong.
enum Failed {
    /// The connection was closed before it took the request, which comes back whole.
    Stale(Box<Request<RequestBody>>),
    Upstream(UpstreamError),
}

impl Tries<'_> {
    async fn run(&self, request: Request<RequestBody>) -> Result<Answer, UpstreamError> {
        match self.rule.retry.as_ref().filter(|retry| retry.attempts > 0) {
            None => self.once(request).await,
            Some(retry) => Box::pin(self.again_and_again(request, retry)).await,
        }
    }

    async fn again_and_again(&self, request: Request<RequestBody>, retry: &RetryPolicy) -> Result<Answer, UpstreamError> {
        let kept = timeout(self.worker.options.idle_timeout, keep(request, retry)).await;
        let mut request = kept.map_err(|_| UpstreamError::RequestBody)??;
        for left in (0..retry.attempts).rev() {
            let Some(spare) = again(&request) else { return self.once(request).await };
            match self.once(request).await {
                Ok(answer) if !retry.codes.contains(&answer.response.status().as_u16()) => return Ok(answer),
                Err(error) if !is_retried(&error, retry, spare.method()) => return Err(error),
                Ok(_) | Err(_) => tracing::debug!(retries.left = left, "trying again"),
            }
            request = spare;
            sleep(retry.backoff).await;
        }
        self.once(request).await
    }

    /// One try, on as many idle connections as turn out to be closed.
    async fn once(&self, mut request: Request<RequestBody>) -> Result<Answer, UpstreamError> {
        for tried in 0..2 * STALE_TRIED {
            let (connection, key) = self.patiently_connected(tried < STALE_TRIED).await?;
            match self.send(connection, key, request).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Stale(same)) => request = *same,
                Err(Failed::Upstream(error)) => return Err(error),
            }
        }
        Err(UpstreamError::Protocol("it closes every connection at once".into()))
    }

    /// A rule with retries tries to connect again as well: whatever the body, nothing was sent yet.
    async fn patiently_connected(&self, pooled: bool) -> Result<(Connection, PoolKey), UpstreamError> {
        let mut left = self.rule.retry.as_ref().map_or(0, |retry| retry.attempts);
        loop {
            match (self.connected(pooled).await, &self.rule.retry) {
                (Err(UpstreamError::Connect(_)), Some(retry)) if left > 0 => {
                    left -= 1;
                    sleep(retry.backoff).await;
                }
                (outcome, _) => return outcome,
            }
        }
    }

    async fn connected(&self, pooled: bool) -> Result<(Connection, PoolKey), UpstreamError> {
        match &self.backend.target {
            Target::Service { endpoints, protocol, tls } => {
                let tls = tls.as_ref().map_err(|reason| UpstreamError::Tls(reason.label().into()))?;
                self.pod(endpoints, *protocol, tls.as_deref(), pooled).await
            }
            Target::Provider(upstream) => {
                let key = PoolKey::Provider(Arc::clone(&upstream.origin));
                let idle = if pooled && !self.upgrade { self.worker.pool.take(&key) } else { None };
                let connection = match idle {
                    Some(connection) => connection,
                    None => Box::pin(self.worker.dial_provider(&upstream.origin, &key, self.upgrade)).await?,
                };
                Ok((connection, key))
            }
        }
    }

    /// A connection to any of the pods, starting anywhere among them. One that refuses is passed over: nothing was sent to it.
    async fn pod(
        &self,
        pods: &[SocketAddr],
        protocol: AppProtocol,
        tls: Option<&PodTls>,
        pooled: bool,
    ) -> Result<(Connection, PoolKey), UpstreamError> {
        let mut failed = UpstreamError::Connect("no endpoint".into());
        for pod in tried(pods) {
            let key = match (tls, protocol) {
                (Some(tls), protocol) => PoolKey::PodTls(*pod, protocol, tls.identity),
                (None, AppProtocol::H2c) if !self.upgrade => PoolKey::PodH2(*pod),
                (None, AppProtocol::H2c | AppProtocol::Http1) => PoolKey::Pod(*pod),
            };
            // What an idle connection in TLS speaks was agreed for requests that are not upgraded.
            let idle = if pooled && !(self.upgrade && tls.is_some()) { self.worker.pool.take(&key) } else { None };
            if let Some(connection) = idle {
                return Ok((connection, key));
            }
            let dialled = match tls {
                Some(tls) => Box::pin(self.worker.dial_pod_tls(*pod, &key, (tls, protocol), self.upgrade)).await,
                None => Box::pin(self.worker.dial_pod(*pod, &key)).await,
            };
            match dialled {
                Ok(connection) => return Ok((connection, key)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// One request on one connection, up to the head of its answer.
    async fn send(&self, connection: Connection, key: PoolKey, request: Request<RequestBody>) -> Result<Answer, Failed> {
        let deadline = self.rule.backend_timeout.map(after);
        let default = self.worker.options.first_byte_timeout;
        let limit = self.rule.backend_timeout.map_or(default, |limit| limit.min(default));
        let answer = async {
            match connection {
                Connection::Http1(sender) => self.send_http1(sender, key, request).await,
                Connection::Http2(sender, busy) => send_http2(sender, busy, &key, request).await,
            }
        };
        let (response, lease) = timeout(limit, answer).await.map_err(|_| Failed::Upstream(UpstreamError::Timeout))??;
        Ok(Answer { response, lease: Some(lease), deadline })
    }

    async fn send_http1(
        &self,
        mut sender: http1::SendRequest<RequestBody>,
        key: PoolKey,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Failed> {
        if sender.ready().await.is_err() {
            return Err(Failed::Stale(Box::new(request)));
        }
        *request.version_mut() = Version::HTTP_11;
        say_chunked(&mut request);
        let response = sender.try_send_request(request).await.map_err(stale)?;
        if response.headers().contains_key(TRANSFER_ENCODING) && response.headers().contains_key(CONTENT_LENGTH) {
            // "might indicate an attempt to perform … response splitting … and ought to be handled as an error" (RFC 9112 section 6.3).
            return Err(Failed::Upstream(UpstreamError::Protocol("its answer has two lengths".into())));
        }
        Ok((response, Lease::Http1 { pool: Arc::clone(&self.worker.pool), key, sender }))
    }
}

async fn send_http2(
    mut sender: http2::SendRequest<RequestBody>,
    busy: Arc<()>,
    key: &PoolKey,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Failed> {
    if sender.ready().await.is_err() {
        return Err(Failed::Stale(Box::new(request)));
    }
    let scheme = if matches!(key, PoolKey::PodH2(_)) { Scheme::HTTP } else { Scheme::HTTPS };
    let request = to_http2(request, scheme).map_err(Failed::Upstream)?;
    let response = sender.try_send_request(request).await.map_err(|error| match stale(error) {
        Failed::Stale(request) => Failed::Stale(Box::new(to_http1(*request))),
        failed @ Failed::Upstream(_) => failed,
    })?;
    Ok((response, Lease::Http2 { _busy: busy }))
}

/// hyper takes a GET, HEAD or CONNECT of unknown length for one without a body; then the body must be announced.
fn say_chunked(request: &mut Request<RequestBody>) {
    let rare = matches!(*request.method(), Method::GET | Method::HEAD);
    if rare && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn stale(mut error: TrySendError<Request<RequestBody>>) -> Failed {
    match error.take_message() {
        Some(request) => Failed::Stale(Box::new(request)),
        None => {
            let error = error.into_error();
            // hyper's word for a body that could not be read or is malformed: the client's fault, not the backend's.
            Failed::Upstream(if error.is_user() { UpstreamError::RequestBody } else { protocol(error) })
        }
    }
}

/// Reads a small body whole, so that it can be sent again.
async fn keep(request: Request<RequestBody>, retry: &RetryPolicy) -> Result<Request<RequestBody>, UpstreamError> {
    let (head, body) = request.into_parts();
    let small = matches!(body, RequestBody::Stream(_)) && body.size_hint().exact().is_some_and(|size| size <= KEPT_BODY);
    if retry.codes.is_empty() || !small {
        return Ok(Request::from_parts(head, body));
    }
    let bytes = body.collect().await.map_err(|_| UpstreamError::RequestBody)?.to_bytes();
    Ok(Request::from_parts(head, RequestBody::Kept(Some(bytes))))
}

fn again(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let mut spare = Request::new(request.body().again()?);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    Some(spare)
}

/// A request that may have reached the backend is sent again only if that does no harm, or the rule lists the status it amounts to.
fn is_retried(error: &UpstreamError, retry: &RetryPolicy, method: &Method) -> bool {
    match error {
        UpstreamError::Timeout => method.is_idempotent() || retry.codes.contains(&504),
        UpstreamError::Protocol(_) => method.is_idempotent() || retry.codes.contains(&502),
        UpstreamError::Dns(_) | UpstreamError::Connect(_) | UpstreamError::Tls(_) | UpstreamError::RequestBody => false,
    }
}

/// HTTP/2 says scheme and authority in the target and has no `Host` (RFC 9113 section 8.3.1).
fn to_http2(mut request: Request<RequestBody>, scheme: Scheme) -> Result<Request<RequestBody>, UpstreamError> {
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(scheme), authority);
    let uri = Uri::from_parts(parts).map_err(|e| UpstreamError::Protocol(format!("the request's host cannot be said in HTTP/2: {e}")))?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Takes [`to_http2`] back.
fn to_http1(mut request: Request<RequestBody>) -> Request<RequestBody> {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    let host = parts.authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    request.headers_mut().extend(host.map(|host| (HOST, host)));
    *request.uri_mut() = parts.path_and_query.map(Uri::from).unwrap_or_default();
    request
}

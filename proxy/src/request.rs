//! One request: checked, decided, forwarded or answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version, request, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use policy::{Decision, Head, Permit, Reason, Refusal, Target, Upstream, decide, normalize_host};
use tokio::sync::mpsc;

use crate::body::{IdleClock, RequestBody, ResponseBody, Special, Tally, UpstreamBody};
use crate::error::{UpstreamError, credential_refused, refusal, upstream};
use crate::forward::{Answer, forward};
use crate::headers::{check_framing, settle_host, strip_hop_by_hop, wants_upgrade};
use crate::metrics::Traffic;
use crate::model::ModelWriter;
use crate::sniff::SeenLength;
use crate::tunnel;
use crate::usage::{Format, UsageReader};
use crate::worker::Worker;

/// Frames that a mirror may lag behind before it is given up.
const MIRROR_FRAMES: usize = 64;

/// How a request reached us.
pub(crate) struct Via {
    pub(crate) worker: Arc<Worker>,
    pub(crate) port: u16,
    pub(crate) scheme: &'static str,
    /// Dropped with the port's last connection or tunnel.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// Answers a request. `lengths` is there on HTTP/1.
pub(crate) async fn serve(
    via: &Arc<Via>,
    request: Request<Incoming>,
    lengths: Option<&SeenLength>,
) -> Result<Response<ResponseBody>, Infallible> {
    let started = Instant::now();
    let (mut head, incoming) = request.into_parts();
    let mut tally = Tally {
        metrics: Arc::clone(&via.worker.metrics),
        traffic: Traffic::Http,
        status: StatusCode::OK,
        started,
        lengths: lengths.cloned(),
    };
    let response = match judge(via, &mut head, lengths) {
        Decision::Forward(permit) => return Ok(permitted(via, permit, head, incoming, tally).await),
        Decision::Refuse(refused) => refuse(via, refused, &head),
        Decision::Reply(reply) => {
            let mut response = Response::new(ResponseBody::full(Bytes::new()));
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            response
        }
    };
    tally.status = response.status();
    Ok(response.map(|body| body.tallied(tally)))
}

fn judge(via: &Via, head: &mut request::Parts, lengths: Option<&SeenLength>) -> Decision {
    let both_lengths = lengths.is_some_and(SeenLength::take) && head.headers.contains_key(http::header::TRANSFER_ENCODING);
    let framing = if both_lengths { Err(Reason::AmbiguousLength) } else { check_framing(&head.headers) };
    if let Err(reason) = framing.and_then(|()| settle_host(head)) {
        return Decision::Refuse(reason.into());
    }
    let state = via.worker.state.load();
    let host = normalize_host(head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default());
    let Some(listener) = state.table.port(via.port).and_then(|port| port.listener(&host)) else {
        return Decision::Refuse(Reason::NoRoute.into());
    };
    let seen = Head { host: &host, method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    decide(listener, &seen, (via.scheme, via.port), fastrand::u64(..))
}

fn refuse(via: &Via, refused: Refusal, head: &request::Parts) -> Response<ResponseBody> {
    via.worker.metrics.refused(refused.reason);
    tracing::info!(reason = refused.reason.label(), listener.port = via.port, http.method = %head.method, "request refused");
    let mut response = refusal(refused);
    if matches!(refused.reason, Reason::AmbiguousLength | Reason::BadRequest) && head.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Forwards what was permitted and dresses the answer.
async fn permitted(
    via: &Arc<Via>,
    permit: Permit,
    mut head: request::Parts,
    incoming: Incoming,
    mut tally: Tally,
) -> Response<ResponseBody> {
    let upgrade = wants_upgrade(&head);
    let client = head.extensions.remove::<OnUpgrade>().filter(|_| upgrade);
    head.extensions.clear();
    strip_hop_by_hop(&mut head.headers, upgrade);
    join_cookies(&mut head.headers);
    let body = outgoing(via, &permit, &mut head, incoming);
    let permitted = match permit.apply(head) {
        Ok(permitted) => permitted,
        Err(refused) => {
            tally.status = refused.reason.status();
            via.worker.metrics.refused(refused.reason);
            return refusal(refused).map(|body| body.tallied(tally));
        }
    };
    let provider = provider(&permit);
    tally.traffic = if provider.is_some() { Traffic::Ai } else { Traffic::Http };
    match forward(&via.worker, permit.rule(), permitted, body, upgrade).await {
        Ok(answer) => answered(via, &permit, answer, tally, client),
        Err(error) => {
            let response = failed(via, &permit, &error);
            tally.status = response.status();
            response.map(|body| body.tallied(tally))
        }
    }
}

fn provider(permit: &Permit) -> Option<&Upstream> {
    match permit.backend().map(|backend| &backend.target) {
        Some(Target::Provider(upstream)) => Some(upstream),
        Some(Target::Service { .. }) | None => None,
    }
}

/// The body to send, with what the rule does to it; starts the mirrors that get a copy.
fn outgoing(via: &Arc<Via>, permit: &Permit, head: &mut request::Parts, incoming: Incoming) -> RequestBody {
    let provider = provider(permit);
    if provider.is_some() {
        // Usage cannot be read from a compressed answer.
        head.headers.remove(ACCEPT_ENCODING);
    }
    let body = RequestBody::new(incoming, &via.worker.metrics);
    let is_json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let model = provider.and_then(|upstream| upstream.model.as_deref()).filter(|_| is_json && !matches!(body, RequestBody::Empty));
    if model.is_none() && !permit.has_mirrors() {
        return body;
    }
    if model.is_some() {
        head.headers.remove(CONTENT_LENGTH);
    }
    let has_body = !matches!(body, RequestBody::Empty);
    let mirrors = permit.mirrors(head).into_iter().filter_map(|mirroring| mirror(via, permit, mirroring, has_body)).collect();
    match has_body {
        true => RequestBody::Special(Box::new(Special { inner: body, model: model.map(ModelWriter::new), mirrors })),
        false => body,
    }
}

/// Sends a copy, whose answer nobody waits for.
fn mirror(via: &Arc<Via>, permit: &Permit, mirroring: policy::Mirroring, has_body: bool) -> Option<mpsc::Sender<Bytes>> {
    let (sender, body) = match has_body {
        true => {
            let (sender, receiver) = mpsc::channel(MIRROR_FRAMES);
            (Some(sender), RequestBody::Copy(receiver))
        }
        false => (None, RequestBody::Empty),
    };
    let (worker, rule) = (Arc::clone(&via.worker), Arc::clone(permit.rule()));
    tokio::spawn(async move {
        match forward(&worker, &rule, mirroring.0, body, false).await {
            Ok(mut answer) => while let Some(Ok(_)) = http_body_util::BodyExt::frame(answer.response.body_mut()).await {},
            Err(error) => tracing::debug!(%error, "a mirrored request failed"),
        }
    });
    sender
}

fn failed(via: &Via, permit: &Permit, error: &UpstreamError) -> Response<ResponseBody> {
    via.worker.metrics.upstream_failed(error);
    let backend = permit.backend();
    let name = backend.map_or("", |backend| backend.name.as_str());
    let route = &permit.rule().route;
    tracing::warn!(%error, upstream.name = name, route.namespace = route.namespace, route.name = route.name, "no answer of the backend");
    upstream(error, backend.and_then(|backend| backend.error_shape()))
}

fn answered(via: &Arc<Via>, permit: &Permit, answer: Answer, mut tally: Tally, client: Option<OnUpgrade>) -> Response<ResponseBody> {
    let Answer { mut response, lease, deadline } = answer;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switched(via, response, tally, client);
    }
    let upstream = provider(permit);
    if let Some(upstream) = upstream.filter(|upstream| response.status() == StatusCode::UNAUTHORIZED && upstream.owns_credential()) {
        via.worker.metrics.credentials_refused.inc();
        tracing::warn!(upstream.host = upstream.origin.host, "the provider refused the gateway's credential");
        tally.status = StatusCode::UNAUTHORIZED;
        return credential_refused(upstream.kind.error_shape()).map(|body| body.tallied(tally));
    }
    strip_hop_by_hop(response.headers_mut(), false);
    permit.respond(response.headers_mut());
    let (mut parts, inner) = response.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    tally.status = parts.status;
    let usage = upstream.and_then(|upstream| Some((usage_reader(&parts)?, upstream.kind)));
    let clock = IdleClock::new(via.worker.options.idle_timeout, deadline);
    Response::from_parts(parts, ResponseBody::Upstream(Box::new(UpstreamBody { inner, lease, clock, usage, tally })))
}

/// Joins the two connections after the client has its 101.
fn switched(via: &Arc<Via>, mut response: Response<Incoming>, mut tally: Tally, client: Option<OnUpgrade>) -> Response<ResponseBody> {
    let Some(client) = client else {
        tally.status = StatusCode::BAD_GATEWAY;
        let error = UpstreamError::Protocol("it switched protocols unasked".into());
        return upstream(&error, None).map(|body| body.tallied(tally));
    };
    tally.status = StatusCode::SWITCHING_PROTOCOLS;
    tokio::spawn(tunnel::join(Arc::clone(via), client, hyper::upgrade::on(&mut response)));
    let (mut parts, _) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers, true);
    parts.extensions.clear();
    Response::from_parts(parts, ResponseBody::full(Bytes::new()).tallied(tally))
}

fn usage_reader(parts: &response::Parts) -> Option<UsageReader> {
    if !parts.status.is_success() || parts.headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let kind = parts.headers.get(CONTENT_TYPE)?.as_bytes();
    match kind {
        kind if kind.starts_with(b"application/json") => Some(UsageReader::new(Format::Json)),
        kind if kind.starts_with(b"text/event-stream") => Some(UsageReader::new(Format::Events)),
        _ => None,
    }
}

/// HTTP/2 may split cookies over several fields; HTTP/1 must not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let parts: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..])) {
        joined.set_sensitive(true);
        headers.insert(COOKIE, joined);
    }
}

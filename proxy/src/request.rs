//! One request: checked, decided, forwarded or answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version, request, response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use policy::{Decision, Head, Mirroring, Permit, Reason, Refusal, Target, Upstream, decide, normalize_host};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::body::{IdleClock, RequestBody, ResponseBody, Special, Tally, UpstreamBody};
use crate::error::{UpstreamError, credential_refused, refusal, upstream};
use crate::forward::{Answer, forward};
use crate::headers::{check_framing, settle_host, strip_hop_by_hop, wants_upgrade};
use crate::metrics::Traffic;
use crate::model::ModelWriter;
use crate::pool::Lease;
use crate::session::Session;
use crate::sniff::SeenLength;
use crate::tunnel;
use crate::usage::{Format, UsageReader};

/// Frames that a mirror may lag behind before it is given up.
const MIRROR_FRAMES: usize = 64;

/// Answers a request.
pub(crate) async fn serve(session: &Arc<Session>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    session.started();
    // What is recorded if the client leaves before there is an answer.
    let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
    let mut tally = Tally { session: Arc::clone(session), traffic: Traffic::Http, status, started: Instant::now() };
    let (mut head, incoming) = request.into_parts();
    let bodyless = head.method == Method::HEAD;
    let upgrade = wants_upgrade(&head);
    let response = match judge(session, &mut head, upgrade) {
        Decision::Forward(permit) => return Ok(Box::pin(permitted(session, permit, Received { head, incoming, upgrade }, tally)).await),
        Decision::Refuse(refused) => refuse(session, refused, &head),
        Decision::Reply(reply) => {
            let mut response = Response::new(ResponseBody::full(Bytes::new()));
            *response.status_mut() = reply.status;
            *response.headers_mut() = reply.headers;
            response
        }
    };
    tally.status = response.status();
    Ok(own(response, bodyless, tally))
}

/// An answer of ours. To HEAD it says the length of the body that it does not have.
fn own(response: Response<ResponseBody>, bodyless: bool, tally: Tally) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    let body = match body.size_hint().exact() {
        Some(length) if bodyless && length > 0 => {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            ResponseBody::full(Bytes::new())
        }
        _ => body,
    };
    Response::from_parts(parts, body.tallied(tally))
}

fn judge(session: &Session, head: &mut request::Parts, upgrade: bool) -> Decision {
    let seen = session.lengths.as_ref().is_some_and(SeenLength::take);
    if let Err(reason) = check_framing(&head.headers, seen).and_then(|()| settle_host(head)) {
        return Decision::Refuse(reason.into());
    }
    // Before routing: what concerns only this hop must not decide where a request goes.
    strip_hop_by_hop(&mut head.headers, upgrade);
    let via = &session.via;
    let state = via.worker.state.load();
    let host = normalize_host(head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default());
    let Some(listener) = state.table.port(via.port).and_then(|port| port.listener(&host)) else {
        return Decision::Refuse(Reason::NoRoute.into());
    };
    // By the listener that the SNI selects now: a reload that renames listeners misdirects nobody.
    let chosen = session.server_name.as_deref().and_then(|name| state.table.port(via.port)?.listener(name));
    if chosen.is_some_and(|chosen| chosen.name != listener.name) {
        return Decision::Refuse(Reason::Misdirected.into());
    }
    let seen = Head { host: &host, method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    decide(listener, &seen, (session.scheme, via.port), fastrand::u64(..))
}

fn refuse(session: &Session, refused: Refusal, head: &request::Parts) -> Response<ResponseBody> {
    let via = &session.via;
    via.worker.metrics.refused(refused.reason);
    tracing::info!(reason = refused.reason.label(), listener.port = via.port, http.method = %head.method, "request refused");
    let mut response = refusal(refused);
    if matches!(refused.reason, Reason::AmbiguousLength | Reason::BadRequest) && head.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What a client wants of an answer.
struct Asked {
    bodyless: bool,
    client: Option<OnUpgrade>,
    /// `gen_ai.operation.name`.
    operation: &'static str,
}

/// A request as it came in.
struct Received {
    head: request::Parts,
    incoming: Incoming,
    upgrade: bool,
}

/// Forwards what was permitted and dresses the answer.
async fn permitted(session: &Arc<Session>, permit: Permit, received: Received, mut tally: Tally) -> Response<ResponseBody> {
    let Received { mut head, incoming, upgrade } = received;
    let bodyless = head.method == Method::HEAD;
    let client = head.extensions.remove::<OnUpgrade>().filter(|_| upgrade);
    head.extensions.clear();
    join_cookies(&mut head.headers);
    let body = outgoing(session, &permit, &mut head, incoming);
    let permitted = match permit.apply(head) {
        Ok(permitted) => permitted,
        Err(refused) => {
            tally.metrics().refused(refused.reason);
            tally.status = refused.reason.status();
            return own(refusal(refused), bodyless, tally);
        }
    };
    let operation = operation(permitted.path());
    tally.traffic = if provider(&permit).is_some() { Traffic::Ai } else { Traffic::Http };
    match forward(&session.via.worker, permit.rule(), permitted, body, upgrade).await {
        Ok(answer) => answered(session, &permit, answer, tally, Asked { bodyless, client, operation }),
        Err(error) => {
            let mut response = failed(session, &permit, &error);
            permit.respond(response.headers_mut());
            tally.status = response.status();
            own(response, bodyless, tally)
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
fn outgoing(session: &Arc<Session>, permit: &Permit, head: &mut request::Parts, incoming: Incoming) -> RequestBody {
    let provider = provider(permit);
    let body = RequestBody::new(incoming, &session.via.worker.metrics, provider.is_none());
    let is_upgrade = head.headers.contains_key(UPGRADE);
    let has_body = !matches!(body, RequestBody::Empty);
    let mirrors = match permit.has_mirrors() && !is_upgrade {
        true => permit.mirrors(head).into_iter().filter_map(|mirroring| mirror(session, permit, mirroring, has_body)).collect(),
        false => Vec::new(),
    };
    if provider.is_some() {
        // Usage cannot be read from a compressed answer.
        head.headers.remove(ACCEPT_ENCODING);
    }
    let model = provider.and_then(|upstream| upstream.model.as_deref()).filter(|_| has_body && !is_form(&head.headers));
    if model.is_none() && mirrors.is_empty() {
        return body;
    }
    if model.is_some() {
        head.headers.remove(CONTENT_LENGTH);
    }
    RequestBody::Special(Box::new(Special { inner: body, model: model.map(ModelWriter::new), mirrors, refused: Arc::default() }))
}

/// Uploads of files and audio; there the model is a part among others, which a pinned model does not reach.
fn is_form(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart/"))
}

/// Sends a copy, whose answer nobody waits for.
fn mirror(session: &Arc<Session>, permit: &Permit, mirroring: Mirroring, has_body: bool) -> Option<mpsc::Sender<Option<Bytes>>> {
    let (sender, body) = match has_body {
        true => {
            let (sender, receiver) = mpsc::channel(MIRROR_FRAMES);
            let model = mirroring.model().map(ModelWriter::new);
            let inner = RequestBody::Copy(receiver);
            (Some(sender), RequestBody::Special(Box::new(Special { inner, model, mirrors: Vec::new(), refused: Arc::default() })))
        }
        false => (None, RequestBody::Empty),
    };
    let (worker, rule) = (Arc::clone(&session.via.worker), Arc::clone(permit.rule()));
    tokio::spawn(async move {
        match forward(&worker, &rule, mirroring.into_permitted(), body, false).await {
            Ok(answer) => discard(answer, worker.options.idle_timeout).await,
            Err(error) => tracing::debug!(%error, "a mirrored request failed"),
        }
    });
    sender
}

/// Reads an answer to its end, so that its connection can be used again; gives up when it pauses for too long.
async fn discard(answer: Answer, idle: Duration) {
    let Answer { mut response, lease, deadline } = answer;
    loop {
        let limit = deadline.map_or(idle, |deadline| deadline.saturating_duration_since(tokio::time::Instant::now()).min(idle));
        match timeout(limit, response.body_mut().frame()).await {
            Ok(Some(Ok(_))) => {}
            Ok(None) => return lease.map_or((), Lease::give_back),
            Ok(Some(Err(_))) | Err(_) => return,
        }
    }
}

fn failed(session: &Session, permit: &Permit, error: &UpstreamError) -> Response<ResponseBody> {
    session.via.worker.metrics.upstream_failed(error);
    let backend = permit.backend();
    let name = backend.map_or("", |backend| backend.name.as_str());
    let route = permit.rule().route();
    tracing::warn!(%error, upstream.name = name, route.namespace = route.namespace, route.name = route.name, "no answer of the backend");
    upstream(error, backend.and_then(|backend| backend.error_shape()))
}

fn answered(session: &Arc<Session>, permit: &Permit, answer: Answer, mut tally: Tally, asked: Asked) -> Response<ResponseBody> {
    let Answer { mut response, lease, deadline } = answer;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switched(session, permit, response, (tally, asked));
    }
    let upstream = provider(permit);
    if let Some(upstream) = upstream.filter(|upstream| response.status() == StatusCode::UNAUTHORIZED && upstream.owns_credential()) {
        tally.metrics().credentials_refused.inc();
        tracing::warn!(upstream.host = upstream.origin.host, "the provider refused the gateway's credential");
        tally.status = StatusCode::UNAUTHORIZED;
        let mut response = credential_refused(upstream.kind.error_shape());
        permit.respond(response.headers_mut());
        return own(response, asked.bodyless, tally);
    }
    strip_hop_by_hop(response.headers_mut(), false);
    permit.respond(response.headers_mut());
    let (mut parts, inner) = response.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    tally.status = parts.status;
    let usage = upstream.and_then(|upstream| Some((usage_reader(&parts)?, (upstream.kind, asked.operation))));
    let clock = IdleClock::new(session.via.worker.options.idle_timeout, deadline);
    Response::from_parts(parts, ResponseBody::Upstream(Box::new(UpstreamBody { inner, lease, ended: false, clock, usage, tally })))
}

/// Joins the two connections after the client has its 101.
fn switched(
    session: &Arc<Session>,
    permit: &Permit,
    mut response: Response<Incoming>,
    (mut tally, asked): (Tally, Asked),
) -> Response<ResponseBody> {
    let Some(client) = asked.client else {
        let response = failed(session, permit, &UpstreamError::Protocol("it switched protocols unasked".into()));
        tally.status = response.status();
        return own(response, asked.bodyless, tally);
    };
    tally.status = StatusCode::SWITCHING_PROTOCOLS;
    tokio::spawn(tunnel::join(Arc::clone(&session.via), client, hyper::upgrade::on(&mut response)));
    let (mut parts, _) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers, true);
    permit.respond(&mut parts.headers);
    parts.extensions.clear();
    Response::from_parts(parts, ResponseBody::full(Bytes::new()).tallied(tally))
}

fn operation(path: &str) -> &'static str {
    match path.trim_end_matches('/').rsplit(['/', ':']).next() {
        Some("embeddings" | "embedContent" | "batchEmbedContents") => "embeddings",
        Some("completions") if !path.contains("/chat/") => "text_completion",
        Some("generateContent" | "streamGenerateContent") => "generate_content",
        Some(_) | None => "chat",
    }
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

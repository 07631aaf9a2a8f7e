//! From a matched rule to what is done: forward with exactly one credential, answer at once, or refuse.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, TRAILER};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, request};

use crate::config::Redirect;
use crate::cors::{self, CorsGrant};
use crate::credential::{passthrough, strip_headers, strip_query};
use crate::filter::{CompiledFilters, CompiledPath};
use crate::path::{changed_path, target};
use crate::rule::{CompiledBackend, CompiledCredential, CompiledRule, Target, Upstream, bracketed};
use crate::{Head, ListenerTable, Reason, Refusal, check_path};

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision {
    /// It may be forwarded.
    Forward(Permit),
    /// It is answered here.
    Reply(Reply),
    /// It is refused.
    Refuse(Refusal),
}

/// An answer without a body.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
}

/// Leave to forward one request to one backend, with the credential for it. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    rule: Arc<CompiledRule>,
    chosen: usize,
    matched: usize,
    credential: Option<(HeaderName, HeaderValue)>,
    cors: Option<CorsGrant>,
    draw: u64,
}

/// A request as it goes to its backend. Only a [`Permit`] makes one.
#[derive(Debug)]
pub struct Permitted {
    /// Method, origin-form target, headers with `Host`.
    head: request::Parts,
    backend: Arc<CompiledBackend>,
}

/// A copy of a request for another backend.
#[derive(Debug)]
pub struct Mirroring(Permitted);

impl Mirroring {
    /// The model that the backend fixes.
    pub fn model(&self) -> Option<&str> {
        match &self.0.backend.target {
            Target::Provider(upstream) => upstream.model.as_deref(),
            Target::Service { .. } => None,
        }
    }

    /// The request to send. With a fixed model, its body's length is not the client's.
    pub fn into_permitted(self) -> Permitted {
        let fixed = self.model().is_some();
        let mut permitted = self.0;
        if fixed {
            permitted.head.headers.remove(CONTENT_LENGTH);
        }
        permitted
    }
}

/// Judges a request that came in on `listener`. `draw` is uniformly random: it picks among weighted backends and mirrors' shares.
/// `origin` is how the client reached the gateway (`https`, port), for redirects.
pub fn decide(listener: &ListenerTable, head: &Head<'_>, origin: (&str, u16), draw: u64) -> Decision {
    // Without SNI, a request can name a host for which another listener of the port only passes connections on.
    if !listener.protocol.has_requests() {
        return Decision::Refuse(Reason::Misdirected.into());
    }
    if matches!(*head.method, Method::TRACE | Method::CONNECT) {
        return Decision::Refuse(Reason::MethodNotAllowed.into());
    }
    if check_path(head.path).is_err() {
        return Decision::Refuse(Reason::BadRequest.into());
    }
    match listener.find(head) {
        None => Decision::Refuse(Reason::NoRoute.into()),
        Some((rule, matched)) => judge(rule, matched, head, origin, draw),
    }
}

fn judge(rule: &Arc<CompiledRule>, matched: usize, head: &Head<'_>, origin: (&str, u16), draw: u64) -> Decision {
    if let Some(reason) = rule.refuse {
        return Decision::Refuse(reason.into());
    }
    if let Some(reply) = early_reply(&rule.filters, matched, head, origin) {
        return Decision::Reply(reply);
    }
    let Some(chosen) = rule.pick(draw) else { return Decision::Refuse(Reason::NoBackends.into()) };
    let weighted = &rule.backends[chosen];
    if let Some(reply) = early_reply(&weighted.filters, matched, head, origin) {
        return Decision::Reply(reply);
    }
    let backend = match &weighted.target {
        Ok(backend) => backend,
        Err(reason) => return Decision::Refuse((*reason).into()),
    };
    match credential(backend, head.headers) {
        Err(reason) => Decision::Refuse(Refusal { reason, shape: backend.error_shape() }),
        Ok(credential) => Decision::Forward(Permit {
            rule: Arc::clone(rule),
            chosen,
            matched,
            credential,
            cors: weighted.filters.cors().or(rule.filters.cors()).and_then(|cors| cors::response(cors, head.headers)),
            draw,
        }),
    }
}

fn early_reply(filters: &CompiledFilters, matched: usize, head: &Head<'_>, origin: (&str, u16)) -> Option<Reply> {
    if let Some(cors) = filters.cors().filter(|_| cors::is_preflight(head.method, head.headers)) {
        let mut headers = HeaderMap::new();
        cors::preflight(cors, head.headers).apply(&mut headers);
        return Some(Reply { status: StatusCode::NO_CONTENT, headers });
    }
    filters.redirect().map(|redirect| redirect_reply(redirect, matched, head, origin))
}

/// The credential for a backend: `None` for a Service, which gets the client's request as it is.
fn credential(backend: &CompiledBackend, headers: &HeaderMap) -> Result<Option<(HeaderName, HeaderValue)>, Reason> {
    match &backend.target {
        Target::Service { tls: Err(reason), .. } => Err(*reason),
        Target::Service { endpoints, .. } if endpoints.is_empty() => Err(Reason::NoEndpoints),
        Target::Service { .. } => Ok(None),
        Target::Provider(upstream) => {
            let value = match &upstream.credential {
                CompiledCredential::Value(value) => value.clone(),
                CompiledCredential::Passthrough => passthrough(upstream.kind, headers)?,
                CompiledCredential::Unavailable(reason) => return Err(*reason),
            };
            Ok(Some((upstream.kind.credential_header(), value)))
        }
    }
}

/// `Location` from the request and what the redirect changes. A well-known port is left out; without a new scheme the listener's
/// port stays (Gateway API, `HTTPRequestRedirectFilter.port`).
fn redirect_reply(redirect: &Redirect, matched: usize, head: &Head<'_>, (own_scheme, own_port): (&str, u16)) -> Reply {
    let scheme = redirect.scheme.as_deref().unwrap_or(own_scheme);
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(scheme)) => well_known_port(scheme),
        (None, None) => own_port,
    };
    let host = bracketed(redirect.hostname.as_deref().unwrap_or(head.host));
    let path = match &redirect.path {
        Some(change) => changed_path(head.path, matched, change),
        None => head.path.to_owned(),
    };
    let port = if port == well_known_port(scheme) { String::new() } else { format!(":{port}") };
    let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{scheme}://{host}{port}{path}{query}"));
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND);
    Reply { status, headers: location.map(|location| HeaderMap::from_iter([(LOCATION, location)])).unwrap_or_default() }
}

fn well_known_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

impl Permit {
    /// The rule, for timeouts, retries and logs.
    pub fn rule(&self) -> &Arc<CompiledRule> {
        &self.rule
    }

    /// The chosen backend.
    pub fn backend(&self) -> Option<&Arc<CompiledBackend>> {
        self.rule.backends[self.chosen].target.as_ref().ok()
    }

    /// Applies filters, strips the client's credentials and sets the backend's. The request's hop-by-hop headers are the caller's job.
    pub fn apply(&self, mut head: request::Parts) -> Result<Permitted, Refusal> {
        let weighted = &self.rule.backends[self.chosen];
        let backend = weighted.target.clone()?;
        let edited = self.edit(&mut head, &[&self.rule.filters, &weighted.filters]);
        let dressed = edited.and_then(|()| dress(&mut head, &backend, self.credential.clone()));
        match dressed {
            Ok(()) => Ok(Permitted { head, backend }),
            Err(refusal) => Err(Refusal { shape: backend.error_shape(), ..refusal }),
        }
    }

    /// Changes a response's headers as the rule and the chosen backend say.
    pub fn respond(&self, headers: &mut HeaderMap) {
        for filters in [&self.rule.backends[self.chosen].filters, &self.rule.filters] {
            if let Some(edits) = &filters.response {
                edits.apply(headers);
            }
        }
        if let Some(cors) = &self.cors {
            cors.apply(headers);
        }
    }

    /// Whether any copy may have to be sent.
    pub fn has_mirrors(&self) -> bool {
        !self.rule.mirrors.is_empty() || !self.rule.backends[self.chosen].mirrors.is_empty()
    }

    /// The copies this request owes, from the head as received. A copy of a request for a provider carries no credential but its own
    /// backend's; one that cannot have its own is not sent.
    pub fn mirrors(&self, head: &request::Parts) -> Vec<Mirroring> {
        let weighted = &self.rule.backends[self.chosen];
        let all = self.rule.mirrors.iter().chain(&weighted.mirrors).enumerate();
        let owed = all.filter(|(nth, (mirror, _))| is_drawn(self.draw, *nth, mirror.numerator, mirror.denominator));
        owed.filter_map(|(_, (_, backend))| self.mirror(head.clone(), backend)).collect()
    }

    fn mirror(&self, mut head: request::Parts, backend: &Arc<CompiledBackend>) -> Option<Mirroring> {
        let credential = credential(backend, &head.headers).ok()?;
        self.edit(&mut head, &[&self.rule.filters]).ok()?;
        if self.credential.is_some() {
            strip_headers(&mut head.headers);
            head.uri = Uri::from(without_credentials(&head.uri).ok()?);
        }
        dress(&mut head, backend, credential).ok()?;
        Some(Mirroring(Permitted { head, backend: Arc::clone(backend) }))
    }

    fn edit(&self, head: &mut request::Parts, filters: &[&CompiledFilters]) -> Result<(), Refusal> {
        for filter in filters {
            if let Some(edits) = &filter.request {
                edits.apply(&mut head.headers);
            }
            if let Some(hostname) = filter.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref()) {
                head.headers.insert(HOST, hostname.clone());
            }
        }
        // The backend's rewrite wins over the rule's: both start from the path as matched.
        if let Some(path) = filters.iter().rev().find_map(|filter| filter.rewrite.as_ref()?.path.as_ref()) {
            head.uri = rewritten(&head.uri, self.matched, path).map_err(|_| Reason::BadRequest)?.into();
        }
        Ok(())
    }
}

impl Permitted {
    /// Where it goes.
    pub fn backend(&self) -> &Arc<CompiledBackend> {
        &self.backend
    }

    /// The path that is asked for.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The head to send and the one place it may go.
    pub fn into_parts(self) -> (request::Parts, Arc<CompiledBackend>) {
        (self.head, self.backend)
    }
}

fn rewritten(uri: &Uri, matched: usize, path: &CompiledPath) -> Result<PathAndQuery, crate::PathError> {
    match path {
        CompiledPath::Full { ready } if uri.query().is_none() => Ok(ready.clone()),
        CompiledPath::Full { ready } => target(ready.path(), uri.query()),
        CompiledPath::Prefix(change) => target(&changed_path(uri.path(), matched, change), uri.query()),
    }
}

/// Makes a request fit its backend: for a provider, its host, its path, and its credential as the only one.
fn dress(head: &mut request::Parts, backend: &CompiledBackend, credential: Option<(HeaderName, HeaderValue)>) -> Result<(), Refusal> {
    match (&backend.target, credential) {
        (Target::Service { .. }, _) => Ok(()),
        (Target::Provider(_), None) => Err(Refusal { reason: Reason::ClientTokenMissing, shape: backend.error_shape() }),
        (Target::Provider(upstream), Some((name, value))) => {
            strip_headers(&mut head.headers);
            head.headers.remove(TRAILER);
            head.headers.insert(name, value);
            head.headers.insert(HOST, upstream.host_header.clone());
            if let Some(version) = upstream.version.clone() {
                head.headers.entry("anthropic-version").or_insert(version);
            }
            head.uri = provider_target(upstream, &head.uri).map_err(|_| Reason::BadRequest)?.into();
            Ok(())
        }
    }
}

fn provider_target(upstream: &Upstream, uri: &Uri) -> Result<PathAndQuery, crate::PathError> {
    let query = uri.query().and_then(strip_query);
    let as_is = query.is_none() && uri.query().is_none() && upstream.paths.leaves(uri.path());
    match uri.path_and_query().filter(|_| as_is) {
        Some(ready) => Ok(ready.clone()),
        None => upstream.paths.target(uri.path(), query.as_deref()),
    }
}

fn without_credentials(uri: &Uri) -> Result<PathAndQuery, crate::PathError> {
    target(uri.path(), uri.query().and_then(strip_query).as_deref())
}

/// A share of `numerator / denominator` of all draws, independently for each mirror.
fn is_drawn(draw: u64, nth: usize, numerator: u32, denominator: u32) -> bool {
    // SplitMix64's finalizer: decorrelates one draw into many.
    let mut mixed = draw.wrapping_add((nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).checked_rem(u64::from(denominator)).is_some_and(|drawn| drawn < u64::from(numerator))
}

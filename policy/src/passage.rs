//! From a connection or a flow to the backend that it is joined to: what [`crate::decide`] is for requests. A rule of a TLSRoute, TCPRoute
//! or UDPRoute is a rule like any other, with one match that holds for everything; so the same table finds it, in the same order: the most
//! specific hostname, then the oldest route.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::rule::{CompiledBackend, Target};
use crate::{Head, ListenerTable, PodTls, Protocol, Reason};

/// Leave to join one connection or flow to one backend. Only [`pass`] makes one.
#[derive(Clone, Debug)]
pub struct Passage {
    backend: Arc<CompiledBackend>,
    tls: Option<Arc<PodTls>>,
}

impl Passage {
    /// The backend's name, for logs.
    pub fn backend(&self) -> &str {
        &self.backend.name
    }

    /// Where it can be reached; at least one.
    pub fn endpoints(&self) -> &[SocketAddr] {
        match &self.backend.target {
            Target::Service { endpoints, .. } => endpoints,
            Target::Provider(_) => &[],
        }
    }

    /// How it is verified; `None`: what passes goes out as it is.
    pub fn tls(&self) -> Option<&Arc<PodTls>> {
        self.tls.as_ref()
    }
}

/// Judges what came in on `listener`. `name` is the SNI as [`crate::normalize_host`] gives it, empty where there is none; `draw` is
/// uniformly random: it picks among weighted backends.
pub fn pass(listener: &ListenerTable, name: &str, draw: u64) -> Result<Passage, Reason> {
    if listener.protocol.has_requests() {
        return Err(Reason::NoRoute);
    }
    let headers = HeaderMap::new();
    let head = Head { host: name, method: &Method::GET, path: "/", query: None, headers: &headers };
    let (rule, _) = listener.find(&head).ok_or(Reason::NoRoute)?;
    if let Some(reason) = rule.refuse {
        return Err(reason);
    }
    let chosen = rule.pick(draw).ok_or(Reason::NoBackends)?;
    let backend = rule.backends[chosen].target.clone()?;
    let tls = match &backend.target {
        Target::Service { endpoints, tls, .. } => {
            let tls = if is_sealed(listener.protocol) { None } else { tls.clone()? };
            (!endpoints.is_empty()).then_some(tls).ok_or(Reason::NoEndpoints)?
        }
        // A provider's credential goes into a request, and here there is none.
        Target::Provider(_) => return Err(Reason::InvalidBackendRef),
    };
    Ok(Passage { backend, tls })
}

/// Whether TLS is none of ours: it is the client's own, or there can be none.
fn is_sealed(protocol: Protocol) -> bool {
    match protocol {
        Protocol::TlsPassthrough | Protocol::Udp => true,
        Protocol::Http | Protocol::Https | Protocol::Tls | Protocol::Tcp => false,
    }
}

//! One listener: protocol, port, hostname, certificates, and which routes may attach. Conflicts between listeners are next door.

use std::fmt;
use std::sync::Arc;

use gateway_api::experimental::gateways as api;
use policy::{Family, Hostname, HostnameError, Protocol, Transport, config};

use super::allowed::{AllowedNamespaces, allowed_kinds};
use super::{LISTENERS, certificate, frontend};
use crate::ObjectKey;
use crate::finding::{Aspect, Finding, Findings, UNSUPPORTED_VALUE};
use crate::index::Index;
use crate::infra::ADMIN_PORT;
use crate::model::RouteKind;

/// The object that a listener stands in: what a parentRef can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Gateway(ObjectKey),
    Set(ObjectKey),
}

impl Holder {
    /// As the API spells it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Gateway(_) => "Gateway",
            Self::Set(_) => "ListenerSet",
        }
    }

    pub(crate) fn key(&self) -> &ObjectKey {
        match self {
            Self::Gateway(key) | Self::Set(key) => key,
        }
    }

    /// The name of one of its listeners among all of the Gateway's: "Name is not required to be unique across a Gateway and ListenerSets"
    /// (ListenerEntry.name).
    fn unique(&self, section: &str) -> String {
        match self {
            Self::Gateway(_) => section.to_owned(),
            Self::Set(key) => format!("{key}/{section}"),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.key())
    }
}

/// A listener, judged.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `spec.listeners[n]`.
    pub(crate) field: String,
    pub(crate) holder: Holder,
    /// As written: unique in its object.
    pub(crate) section: String,
    /// Unique among all listeners of the Gateway.
    pub(crate) name: String,
    /// As written; it is a usable port where the listener is served.
    pub(crate) port: i32,
    /// What connections to it begin with, whether or not it is served; `None`: nothing we know.
    pub(crate) protocol: Option<Protocol>,
    /// `None`: all. One that cannot be read is no hostname at all, and must not count as none.
    pub(crate) hostname: Result<Option<Hostname>, HostnameError>,
    /// Kinds of routes that may attach.
    pub(crate) kinds: Vec<RouteKind>,
    /// Namespaces from which they may.
    pub(crate) namespaces: AllowedNamespaces,
    /// Usable certificates by resource name, where TLS ends here.
    pub(crate) certificates: Vec<(String, config::Secret)>,
    /// What clients must prove, where TLS ends here.
    pub(crate) client_auth: Option<Arc<config::ClientAuth>>,
    pub(crate) findings: Findings,
}

impl Listener {
    /// Whether routes are to be judged as before: a new certificate is no news to them.
    pub(crate) fn is_same_to_routes(&self, other: &Self) -> bool {
        let view = |one: &Self| (one.name.clone(), one.port, one.hostname.clone(), one.kinds.clone(), one.served());
        view(self) == view(other) && self.namespaces == other.namespaces
    }

    /// Whether it is valid, and alone on its port and hostname.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.first(Aspect::Accepted).is_none() && self.findings.first(Aspect::Conflicted).is_none()
    }

    /// What it speaks, when it is sound and has what it needs.
    pub(crate) fn served(&self) -> Option<Protocol> {
        self.protocol.filter(|protocol| self.is_sound() && (!protocol.terminates_tls() || !self.certificates.is_empty()))
    }
}

/// The Gateway that listeners are of, by key and spec.
type Owner<'s> = (&'s ObjectKey, &'s api::GatewaySpec);

/// The listeners of one object.
pub(super) fn judge_all(index: &Index<'_>, gateway: Owner<'_>, holder: &Holder, given: &[api::GatewayListeners]) -> Vec<Listener> {
    let fields = (0..).map(|nth| format!("{LISTENERS}[{nth}]"));
    let judge = |(listener, field)| judge(index, gateway, holder, listener, field);
    given.iter().zip(fields).map(judge).collect()
}

fn judge(index: &Index<'_>, (gateway, spec): Owner<'_>, holder: &Holder, given: &api::GatewayListeners, field: String) -> Listener {
    let mut findings = Findings::default();
    let protocol = protocol(given);
    findings.extend(protocol_finding(protocol, &field));
    findings.extend(port_finding(given.port, protocol, &field));
    let hostname = match protocol.map(Protocol::family) {
        // "This field is ignored for protocols that don't require hostname based matching" (Listener.hostname).
        Some(Family::Stream | Family::Datagram) => Ok(None),
        Some(Family::Plain | Family::Encrypted) | None => hostname(given.hostname.as_deref(), &field, &mut findings),
    };
    // "For all Listeners handling HTTPS traffic" (FrontendTLSConfig.default). What else ends TLS is not to be open to clients that the
    // Gateway wants verified.
    let ends_tls = protocol.is_some_and(Protocol::terminates_tls);
    let validation = frontend::of_port(spec, given.port).filter(|_| ends_tls);
    let client_auth = validation.and_then(|validation| validation.resolve(index, gateway, holder, &mut findings));
    let certificates = match ends_tls {
        true => certificate::of_listener(index, holder, given, &field, &mut findings),
        false => Vec::new(),
    };
    let kinds = allowed_kinds(protocol, given.allowed_routes.as_ref(), &field, &mut findings);
    let namespaces = AllowedNamespaces::of(given.allowed_routes.as_ref(), &field, &mut findings);
    let (holder, section, name, port) = (holder.clone(), given.name.clone(), holder.unique(&given.name), given.port);
    Listener { field, holder, section, name, port, protocol, hostname, kinds, namespaces, certificates, client_auth, findings }
}

fn protocol(given: &api::GatewayListeners) -> Option<Protocol> {
    let passthrough = given.tls.as_ref().is_some_and(|tls| tls.mode == Some(api::GatewayListenersTlsMode::Passthrough));
    match given.protocol.as_str() {
        "HTTP" => Some(Protocol::Http),
        "HTTPS" => Some(Protocol::Https),
        "TLS" if passthrough => Some(Protocol::TlsPassthrough),
        "TLS" => Some(Protocol::Tls),
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    }
}

fn protocol_finding(protocol: Option<Protocol>, field: &str) -> Option<Finding> {
    let message = "the protocol is not known: use HTTP, HTTPS, TLS, TCP or UDP";
    protocol.is_none().then(|| Finding::accepted(format!("{field}.protocol"), "UnsupportedProtocol", message))
}

fn port_finding(port: i32, protocol: Option<Protocol>, field: &str) -> Option<Finding> {
    let is_tcp = protocol.is_none_or(|protocol| protocol.transport() == Transport::Tcp);
    let message = match port {
        port if port == i32::from(ADMIN_PORT) && is_tcp => format!("port {port} is the proxies' own, for probes and metrics: use another"),
        1..=65535 => return None,
        _ => format!("port {port} is not a port: use 1 to 65535"),
    };
    Some(Finding::accepted(format!("{field}.port"), "PortUnavailable", message))
}

/// An empty hostname is as good as none ("if unspecified, all hostnames are matched"; the Go type cannot tell them apart).
fn hostname(text: Option<&str>, field: &str, findings: &mut Findings) -> Result<Option<Hostname>, HostnameError> {
    let hostname = text.filter(|text| !text.is_empty()).map(Hostname::parse).transpose();
    let finding = |error: &HostnameError| Finding::accepted(format!("{field}.hostname"), UNSUPPORTED_VALUE, error.to_string());
    findings.extend(hostname.as_ref().err().map(finding));
    hostname
}

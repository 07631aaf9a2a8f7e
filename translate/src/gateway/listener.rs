//! One listener: protocol, port, hostname, certificates, and which routes may attach. Conflicts between listeners are next door.

use std::fmt;
use std::sync::Arc;

use gateway_api::experimental::gateways as api;
use policy::{Hostname, HostnameError, config};

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
    pub(crate) protocol: Protocol,
    /// `None`: all. One that cannot be read is no hostname at all, and must not count as none.
    pub(crate) hostname: Result<Option<Hostname>, HostnameError>,
    /// Kinds of routes that may attach.
    pub(crate) kinds: Vec<RouteKind>,
    /// Namespaces from which they may.
    pub(crate) namespaces: AllowedNamespaces,
    /// Usable certificates by resource name, for HTTPS.
    pub(crate) certificates: Vec<(String, config::Secret)>,
    /// What clients must prove, for HTTPS.
    pub(crate) client_auth: Option<Arc<config::ClientAuth>>,
    pub(crate) findings: Findings,
}

/// What a listener is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    /// Known to Gateway API, not served yet.
    Tls,
    /// Known to Gateway API, not served yet.
    Tcp,
    /// Known to Gateway API, not served yet.
    Udp,
    Unknown,
}

impl Protocol {
    fn parse(text: &str) -> Self {
        match text {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "TLS" => Self::Tls,
            "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unknown => "unknown",
        }
    }
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
    pub(crate) fn served(&self) -> Option<config::Protocol> {
        self.speaks().filter(|protocol| match protocol {
            config::Protocol::Http => self.is_sound(),
            config::Protocol::Https => self.is_sound() && !self.certificates.is_empty(),
        })
    }

    /// What connections to it begin with, whether or not it is served.
    pub(crate) fn speaks(&self) -> Option<config::Protocol> {
        match self.protocol {
            Protocol::Http => Some(config::Protocol::Http),
            Protocol::Https | Protocol::Tls => Some(config::Protocol::Https),
            Protocol::Tcp | Protocol::Udp | Protocol::Unknown => None,
        }
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
    let protocol = Protocol::parse(&given.protocol);
    findings.extend(protocol_finding(protocol, &field));
    findings.extend(port_finding(given.port, &field));
    let hostname = hostname(given.hostname.as_deref(), &field, &mut findings);
    // "For all Listeners handling HTTPS traffic" (FrontendTLSConfig.default).
    let validation = frontend::of_port(spec, given.port).filter(|_| protocol == Protocol::Https);
    let client_auth = validation.and_then(|validation| validation.resolve(index, gateway, holder, &mut findings));
    let certificates = match protocol {
        Protocol::Https => certificate::of_listener(index, holder, given.tls.as_ref(), &field, &mut findings),
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp | Protocol::Unknown => Vec::new(),
    };
    let kinds = allowed_kinds(protocol, given.allowed_routes.as_ref(), &field, &mut findings);
    let namespaces = AllowedNamespaces::of(given.allowed_routes.as_ref(), &field, &mut findings);
    let (holder, section, name, port) = (holder.clone(), given.name.clone(), holder.unique(&given.name), given.port);
    Listener { field, holder, section, name, port, protocol, hostname, kinds, namespaces, certificates, client_auth, findings }
}

fn protocol_finding(protocol: Protocol, field: &str) -> Option<Finding> {
    let message = match protocol {
        Protocol::Http | Protocol::Https => return None,
        Protocol::Tls | Protocol::Tcp | Protocol::Udp => format!("protocol {} is not served yet: use HTTP or HTTPS", protocol.as_str()),
        Protocol::Unknown => "the protocol is not known: use HTTP or HTTPS".to_owned(),
    };
    Some(Finding::accepted(format!("{field}.protocol"), "UnsupportedProtocol", message))
}

fn port_finding(port: i32, field: &str) -> Option<Finding> {
    let message = match port {
        port if port == i32::from(ADMIN_PORT) => format!("port {port} is the proxies' own, for probes and metrics: use another"),
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

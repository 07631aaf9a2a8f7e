//! One listener: protocol, port, hostname, certificates, and which routes may attach. Conflicts between listeners are next door.

use gateway_api::experimental::gateways as api;
use policy::{Hostname, config};

use super::allowed::{AllowedNamespaces, allowed_kinds};
use super::{LISTENERS, certificate};
use crate::ObjectKey;
use crate::finding::{Aspect, Finding, Findings};
use crate::index::Index;
use crate::model::RouteKind;

/// A listener, judged.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `spec.listeners[n]`.
    pub(crate) field: String,
    pub(crate) name: String,
    /// As written; it is a usable port where the listener is served.
    pub(crate) port: i32,
    pub(crate) protocol: Protocol,
    pub(crate) hostname: Option<Hostname>,
    /// Kinds of routes that may attach.
    pub(crate) kinds: Vec<RouteKind>,
    /// Namespaces from which they may.
    pub(crate) namespaces: AllowedNamespaces,
    /// Usable certificates by resource name, for HTTPS.
    pub(crate) certificates: Vec<(String, config::Secret)>,
    pub(crate) findings: Findings,
}

/// What a listener is to speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    /// Known to Gateway API, not served yet.
    Tls,
    /// Known to Gateway API, not served yet.
    Tcp,
    /// Known to Gateway API, not served yet.
    Udp,
    Unknown(String),
}

impl Protocol {
    fn parse(text: &str) -> Self {
        match text {
            "HTTP" => Self::Http,
            "HTTPS" => Self::Https,
            "TLS" => Self::Tls,
            "TCP" => Self::Tcp,
            "UDP" => Self::Udp,
            other => Self::Unknown(other.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Unknown(other) => other,
        }
    }
}

impl Listener {
    /// What it speaks, when it is valid, alone on its port and hostname, and has what it needs.
    pub(crate) fn served(&self) -> Option<config::Protocol> {
        let sound = self.findings.first(Aspect::Accepted).is_none() && self.findings.first(Aspect::Conflicted).is_none();
        match self.protocol {
            Protocol::Http if sound => Some(config::Protocol::Http),
            Protocol::Https if sound && !self.certificates.is_empty() => Some(config::Protocol::Https),
            Protocol::Http | Protocol::Https | Protocol::Tls | Protocol::Tcp | Protocol::Udp | Protocol::Unknown(_) => None,
        }
    }
}

pub(super) fn judge_all(index: &Index<'_>, gateway: &ObjectKey, spec: &api::GatewaySpec) -> Vec<Listener> {
    let fields = (0..).map(|nth| format!("{LISTENERS}[{nth}]"));
    let judge = |(listener, field)| judge(index, gateway, spec, listener, field);
    spec.listeners.iter().zip(fields).map(judge).collect()
}

fn judge(index: &Index<'_>, gateway: &ObjectKey, spec: &api::GatewaySpec, given: &api::GatewayListeners, field: String) -> Listener {
    let mut findings = Findings::default();
    let protocol = Protocol::parse(&given.protocol);
    findings.extend(protocol_findings(&protocol, &field));
    findings.extend(port_finding(given.port, &field));
    let hostname = hostname(given.hostname.as_deref(), &field, &mut findings);
    let certificates = match protocol {
        Protocol::Https => {
            findings.extend(client_certificates(spec, given.port, &field));
            certificate::of_listener(index, gateway, given.tls.as_ref(), &field, &mut findings)
        }
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp | Protocol::Unknown(_) => Vec::new(),
    };
    let kinds = allowed_kinds(&protocol, given.allowed_routes.as_ref(), &field, &mut findings);
    let namespaces = AllowedNamespaces::of(given.allowed_routes.as_ref(), &field, &mut findings);
    Listener { field, name: given.name.clone(), port: given.port, protocol, hostname, kinds, namespaces, certificates, findings }
}

fn protocol_findings(protocol: &Protocol, field: &str) -> Option<Finding> {
    let message = match protocol {
        Protocol::Http | Protocol::Https => return None,
        Protocol::Tls | Protocol::Tcp | Protocol::Udp => format!("protocol {} is not served yet: use HTTP or HTTPS", protocol.as_str()),
        Protocol::Unknown(other) => format!("protocol {other:?} is not known: use HTTP or HTTPS"),
    };
    Some(Finding::accepted(format!("{field}.protocol"), "UnsupportedProtocol", message))
}

fn port_finding(port: i32, field: &str) -> Option<Finding> {
    let message = || format!("port {port} is not a port: use 1 to 65535");
    (!(1..=65535).contains(&port)).then(|| Finding::accepted(format!("{field}.port"), "PortUnavailable", message()))
}

/// An empty hostname is as good as none ("if unspecified, all hostnames are matched"; the Go type cannot tell them apart).
fn hostname(text: Option<&str>, field: &str, findings: &mut Findings) -> Option<Hostname> {
    match Hostname::parse(text.filter(|text| !text.is_empty())?) {
        Ok(hostname) => Some(hostname),
        Err(error) => {
            findings.push(Finding::accepted(format!("{field}.hostname"), "UnsupportedValue", error.to_string()));
            None
        }
    }
}

/// A Gateway that demands client certificates must not be served without asking for them, so its HTTPS listeners are refused until we can.
fn client_certificates(spec: &api::GatewaySpec, port: i32, field: &str) -> Option<Finding> {
    let frontend = spec.tls.as_ref()?.frontend.as_ref()?;
    let of_port = frontend.per_port.iter().flatten().find(|one| one.port == port);
    let demanded = of_port.map_or(frontend.default.validation.is_some(), |one| one.tls.validation.is_some());
    let message = "spec.tls.frontend demands client certificates, which are not verified yet: this listener is not served; \
                   remove the validation for its port to serve it without";
    demanded.then(|| Finding::accepted(field, "UnsupportedValue", message))
}

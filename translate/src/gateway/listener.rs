//! One listener: protocol, port, hostname, certificates, and which routes may attach. Conflicts between listeners are next door.

use gateway_api::experimental::gateways as api;
use policy::{Family, Hostname, HostnameError, Protocol, Transport, config};

use super::allowed::{AllowedNamespaces, allowed_kinds};
use super::{LISTENERS, certificate};
use crate::ObjectKey;
use crate::finding::{Aspect, Finding, Findings, UNSUPPORTED_VALUE};
use crate::index::Index;
use crate::infra::ADMIN_PORT;
use crate::model::RouteKind;

/// A listener, judged.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `spec.listeners[n]`.
    pub(crate) field: String,
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

pub(super) fn judge_all(index: &Index<'_>, gateway: &ObjectKey, spec: &api::GatewaySpec) -> Vec<Listener> {
    let fields = (0..).map(|nth| format!("{LISTENERS}[{nth}]"));
    let judge = |(listener, field)| judge(index, gateway, spec, listener, field);
    spec.listeners.iter().zip(fields).map(judge).collect()
}

fn judge(index: &Index<'_>, gateway: &ObjectKey, spec: &api::GatewaySpec, given: &api::GatewayListeners, field: String) -> Listener {
    let mut findings = Findings::default();
    let protocol = protocol(given);
    findings.extend(protocol_finding(protocol, &field));
    findings.extend(port_finding(given.port, protocol, &field));
    let hostname = match protocol.map(Protocol::family) {
        // "This field is ignored for protocols that don't require hostname based matching" (Listener.hostname).
        Some(Family::Stream | Family::Datagram) => Ok(None),
        Some(Family::Plain | Family::Encrypted) | None => hostname(given.hostname.as_deref(), &field, &mut findings),
    };
    let certificates = match protocol.is_some_and(Protocol::terminates_tls) {
        true => {
            findings.extend(client_certificates(spec, given.port, &field));
            certificate::of_listener(index, gateway, given, &field, &mut findings)
        }
        false => Vec::new(),
    };
    let kinds = allowed_kinds(protocol, given.allowed_routes.as_ref(), &field, &mut findings);
    let namespaces = AllowedNamespaces::of(given.allowed_routes.as_ref(), &field, &mut findings);
    Listener { field, name: given.name.clone(), port: given.port, protocol, hostname, kinds, namespaces, certificates, findings }
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

/// A Gateway that demands client certificates must not be served without asking for them, so its listeners where TLS ends are
/// refused until we can.
fn client_certificates(spec: &api::GatewaySpec, port: i32, field: &str) -> Option<Finding> {
    let frontend = spec.tls.as_ref()?.frontend.as_ref()?;
    let of_port = frontend.per_port.iter().flatten().find(|one| one.port == port);
    let demanded = of_port.map_or(frontend.default.validation.is_some(), |one| one.tls.validation.is_some());
    let message = "spec.tls.frontend demands client certificates, which are not verified yet: this listener is not served; \
                   remove the validation for its port to serve it without";
    demanded.then(|| Finding::accepted(field, UNSUPPORTED_VALUE, message))
}

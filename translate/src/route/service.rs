//! Services: the port that is meant, what it speaks, and the ready addresses behind it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy::Transport;
use policy::config::{AppProtocol, Endpoints};

use super::backend::Miss;
use crate::index::Index;
use crate::model::RouteKind;
use crate::{ObjectKey, backend_tls};

/// A Service port that can be a backend.
#[derive(Debug)]
pub(super) struct Found {
    /// Of the backend. It has a suffix where the protocol comes from the route's kind, since another kind of route may see it otherwise.
    pub(super) name: String,
    pub(super) protocol: AppProtocol,
    pub(super) port: i64,
}

/// Of the endpoints of a Service's port.
pub(crate) fn endpoints_name(key: &ObjectKey, port: i64, transport: Transport) -> String {
    let of_service = backends(key);
    match transport {
        Transport::Tcp => format!("{of_service}{port}"),
        Transport::Udp => format!("{of_service}{port}/udp"),
    }
}

/// With which the names of all backends of a Service begin.
pub(crate) fn backends(key: &ObjectKey) -> String {
    format!("Service/{key}/")
}

/// The Service of a backend by its name.
pub(crate) fn of_backend(name: &str) -> Option<ObjectKey> {
    let (namespace, rest) = name.strip_prefix("Service/")?.split_once('/')?;
    rest.split_once('/').map(|(service, _)| ObjectKey::new(namespace, service))
}

/// A number may stand for TCP and for UDP, as DNS has it.
pub(crate) fn port(service: &Service, number: i64, transport: Transport) -> Option<&ServicePort> {
    numbered(service, number).find(|one| speaks(one.protocol.as_deref(), transport))
}

fn numbered(service: &Service, number: i64) -> impl Iterator<Item = &ServicePort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    ports.iter().filter(move |one| i64::from(one.port) == number)
}

pub(super) fn find(index: &Index<'_>, key: &ObjectKey, number: Option<i64>, kind: RouteKind) -> Result<Found, Miss> {
    let miss = |reason, message| Err(Miss { reason, message });
    let Some(service) = index.service(key) else {
        return miss("BackendNotFound", format!("Service {key} does not exist: create it, or correct the reference"));
    };
    // "Support: … ExternalName Services … are not recommended" for CVE-2021-25740: its owner could point the gateway anywhere.
    if is_external_name(service) {
        return miss(
            "InvalidKind",
            format!("Service {key} is of type ExternalName, which is not served (CVE-2021-25740): give it endpoints"),
        );
    }
    let Some(number) = number else {
        return miss("BackendNotFound", format!("the reference to Service {key} needs a port: add one of its ports"));
    };
    let transport = kind.transport();
    let Some(found) = port(service, number, transport) else {
        return match numbered(service, number).next() {
            None => miss("BackendNotFound", format!("Service {key} has no port {number}: correct the reference")),
            Some(_) => {
                let (needed, kind) = (transport.as_str(), kind.as_str());
                miss("UnsupportedProtocol", format!("port {number} of Service {key} is not of protocol {needed}, which {kind}s need"))
            }
        };
    };
    let endpoints = endpoints_name(key, number, transport);
    let secured = backend_tls::covers(index, key, found);
    let (protocol, by_kind) = protocol(found.app_protocol.as_deref(), kind, secured)
        .map_err(|what| Miss { reason: "UnsupportedProtocol", message: format!("port {number} of Service {key} {what}") })?;
    let name = if by_kind { format!("{endpoints}/h2c") } else { endpoints };
    Ok(Found { name, protocol, port: number })
}

/// "Default is TCP" (ServicePort.protocol, EndpointPort.protocol).
fn speaks(protocol: Option<&str>, transport: Transport) -> bool {
    protocol.unwrap_or("TCP") == transport.as_str()
}

fn is_external_name(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

/// What a port speaks, and whether that follows from the route's kind alone: gRPC needs HTTP/2, and a Service that says nothing of a
/// GRPCRoute's backend means it. WebSocket is HTTP/1.1 (GEP-1911). "If a Route is not able to send traffic to the backend using the
/// specified protocol then the backend is considered invalid" (HTTPBackendRef). Where bytes are passed on as they are, it does not matter.
fn protocol(app_protocol: Option<&str>, kind: RouteKind, secured: bool) -> Result<(AppProtocol, bool), &'static str> {
    match (app_protocol, kind) {
        (Some("kubernetes.io/h2c"), _) => Ok((AppProtocol::H2c, false)),
        (_, RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp) => Ok((AppProtocol::Http1, false)),
        (Some("https" | "kubernetes.io/wss"), _) if !secured => {
            Err("asks for TLS in its appProtocol, and no BackendTLSPolicy says whom to trust: create one, or offer a port in clear")
        }
        (Some("kubernetes.io/ws" | "kubernetes.io/wss"), RouteKind::Grpc) => {
            Err("speaks WebSocket by its appProtocol, and gRPC needs HTTP/2: refer to another port")
        }
        (_, RouteKind::Http) => Ok((AppProtocol::Http1, false)),
        (_, RouteKind::Grpc) => Ok((AppProtocol::H2c, true)),
    }
}

/// The ready addresses of a port, sorted, each once. Slices that the API server filled and slices written by hand look the same.
pub(crate) fn endpoints(slices: &[&EndpointSlice], port: &ServicePort) -> Endpoints {
    let addresses: BTreeSet<SocketAddr> = slices.iter().flat_map(|slice| addresses(slice, port)).collect();
    Endpoints { addresses: addresses.into_iter().collect() }
}

/// Slices of type FQDN hold no IP address, so nothing of them parses: names would be another way to point the gateway anywhere.
fn addresses(slice: &EndpointSlice, port: &ServicePort) -> Vec<SocketAddr> {
    let numbers: Vec<u16> = slice.ports.iter().flatten().filter(|one| is_same(one, port)).filter_map(|one| number(one, port)).collect();
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint));
    let ips = ready.flat_map(|endpoint| &endpoint.addresses).filter_map(|text| text.parse::<IpAddr>().ok());
    ips.flat_map(|ip| numbers.iter().map(move |number| SocketAddr::new(ip, *number))).collect()
}

/// "Name … must match the corresponding name in the EndpointPort"; a Service's only port needs none.
fn is_same(one: &EndpointPort, port: &ServicePort) -> bool {
    let protocols = [&one.protocol, &port.protocol].map(|given| given.as_deref().unwrap_or("TCP"));
    let names = [&one.name, &port.name].map(|given| given.as_deref().unwrap_or_default());
    protocols[0] == protocols[1] && names[0] == names[1]
}

/// A slice's port without a number means all ports: then the Service's target counts.
fn number(one: &EndpointPort, port: &ServicePort) -> Option<u16> {
    let target = match &port.target_port {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(_)) | None => port.port,
    };
    u16::try_from(one.port.unwrap_or(target)).ok().filter(|number| *number > 0)
}

/// "A nil value should be interpreted as "true"" (EndpointConditions.ready).
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
}

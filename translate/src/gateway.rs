//! Gateways of ours and their listeners, judged: valid or not, in conflict or not, with which certificates, open to whom. It knows nothing
//! of routes.

mod address;
mod allowed;
mod certificate;
mod conflict;
mod listener;

use std::collections::BTreeSet;

use crds::GatewayParametersSpec;
use gateway_api::experimental::gateways as api;
use policy::{Family, Hostname, Port, Protocol};

use crate::class::{Classes, Owner};
use crate::finding::{About, Aspect, Finding, Findings, Problem, UNSUPPORTED_VALUE};
use crate::index::Index;
use crate::infra::{self, Infra};
use crate::parameters::{self, INVALID_PARAMETERS};
use crate::{ClusterSettings, ObjectKey, Settings};

pub use address::GatewayAddress;
pub(crate) use listener::Listener;

const PARAMETERS: &str = "spec.infrastructure.parametersRef";
/// The field of a Gateway's listeners.
pub(crate) const LISTENERS: &str = "spec.listeners";

/// What became of a Gateway.
#[derive(Debug)]
pub(crate) enum Judged {
    Ours(Box<Gateway>),
    /// Of another controller.
    Anothers,
    /// Nobody serves it, or may ever serve it.
    Nobodys(Problem),
}

/// A Gateway of ours.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) generation: Option<i64>,
    pub(crate) listeners: Vec<Listener>,
    /// About the Gateway itself; each listener has its own.
    pub(crate) findings: Findings,
    /// In a cluster: what runs for it.
    pub(crate) infra: Option<Infra>,
    /// In a cluster: where it is reached.
    pub(crate) addresses: Option<Vec<GatewayAddress>>,
    /// It is being deleted: nothing is to be made for it again.
    pub(crate) is_ending: bool,
}

impl Judged {
    pub(crate) fn ours(&self) -> Option<&Gateway> {
        match self {
            Self::Ours(gateway) => Some(gateway),
            Self::Anothers | Self::Nobodys(_) => None,
        }
    }

    /// Whether routes that refer to it are to be judged as before.
    pub(crate) fn is_same_to_routes(&self, other: &Self) -> bool {
        match (self.ours(), other.ours()) {
            (Some(one), Some(other)) => {
                one.is_served() == other.is_served()
                    && one.listeners.len() == other.listeners.len()
                    && one.listeners.iter().zip(&other.listeners).all(|(one, other)| one.is_same_to_routes(other))
            }
            (None, None) => true,
            _ => false,
        }
    }
}

impl Gateway {
    /// Whether it is as it should be.
    pub(crate) fn is_accepted(&self) -> bool {
        self.findings.first(Aspect::Accepted).is_none()
    }

    /// Whether its proxies, if there are any, are told anything. How they are run is another matter: a mistake there must not keep a
    /// revoked route or an old token alive.
    pub(crate) fn is_served(&self) -> bool {
        self.findings.mistakes(Aspect::Accepted).all(|mistake| mistake.reason == INVALID_PARAMETERS)
    }

    /// Its listeners with what they speak, if it is served at all.
    pub(crate) fn served(&self) -> impl Iterator<Item = (&Listener, Protocol)> {
        let listeners = self.listeners.iter().filter(|_| self.is_served());
        listeners.filter_map(|listener| listener.served().map(|protocol| (listener, protocol)))
    }

    /// Listeners that are not served although their port is, each host once: what is meant for them must not fall to a listener for
    /// wider hosts (listener isolation, GatewaySpec.listeners).
    pub(crate) fn closed(&self) -> Vec<(&Listener, Protocol)> {
        let mut taken: BTreeSet<(i32, Family, Option<&Hostname>)> = BTreeSet::new();
        let mut ports: BTreeSet<(i32, Family)> = BTreeSet::new();
        for (listener, protocol) in self.served() {
            ports.insert((listener.port, protocol.family()));
            taken.extend(listener.hostname.as_ref().map(|hostname| (listener.port, protocol.family(), hostname.as_ref())));
        }
        let mut closed = Vec::new();
        for listener in &self.listeners {
            if let (Some(protocol), Ok(hostname)) = (listener.protocol, &listener.hostname)
                && ports.contains(&(listener.port, protocol.family()))
                && taken.insert((listener.port, protocol.family(), hostname.as_ref()))
            {
                closed.push((listener, protocol));
            }
        }
        closed
    }
}

pub(crate) fn judge(index: &Index<'_>, classes: &Classes, gateway: &api::Gateway, settings: &Settings) -> Judged {
    let (key, class) = (ObjectKey::of(&gateway.metadata), &gateway.spec.gateway_class_name);
    let refused = match classes.owner(class) {
        Owner::Ours => None,
        Owner::OursRefused => Some(refused_class(class)),
        Owner::Another => return Judged::Anothers,
        Owner::Nobody => return Judged::Nobodys(unknown_class(&key, class)),
    };
    let mut judged = judge_ours(index, &key, gateway);
    judged.findings.extend(refused);
    if let Some(cluster) = &settings.cluster {
        let base = classes.parameters(class).cloned().unwrap_or_default();
        judged.run(index, gateway, &base, cluster);
    }
    Judged::Ours(Box::new(judged))
}

fn judge_ours(index: &Index<'_>, key: &ObjectKey, gateway: &api::Gateway) -> Gateway {
    let mut listeners: Vec<Listener> = listener::judge_all(index, key, &gateway.spec);
    conflict::mark(&mut listeners);
    Gateway {
        generation: gateway.metadata.generation,
        listeners,
        findings: own_findings(index, key, &gateway.spec),
        infra: None,
        addresses: None,
        is_ending: gateway.metadata.deletion_timestamp.is_some(),
    }
}

impl Gateway {
    /// What runs for it, from its own parameters and those of its class; and where that is reached.
    fn run(&mut self, index: &Index<'_>, gateway: &api::Gateway, base: &GatewayParametersSpec, cluster: &ClusterSettings) {
        let key = ObjectKey::of(&gateway.metadata);
        let account = infra::account(gateway);
        self.addresses = Some(index.service(&account).map(address::of_service).unwrap_or_default());
        if !self.is_accepted() {
            return;
        }
        let own = parameters_of(index, &key, &gateway.spec).and_then(Result::ok);
        let parameters = own.map_or_else(|| base.clone(), |own| own.merged_over(base));
        // Also while a certificate is away: the Service's address would go with its last port.
        let port =
            |listener: &Listener| Some(Port { number: u16::try_from(listener.port).ok()?, transport: listener.protocol?.transport() });
        let ports = self.listeners.iter().filter(|listener| listener.is_sound()).filter_map(port).collect();
        match infra::of(gateway, &ports, &parameters, &cluster.infra) {
            Ok(infra) => self.infra = Some(infra),
            Err(message) => self.findings.push(Finding::accepted(PARAMETERS, INVALID_PARAMETERS, message)),
        }
    }
}

fn parameters_of<'s>(
    index: &Index<'s>,
    gateway: &ObjectKey,
    spec: &api::GatewaySpec,
) -> Option<Result<&'s GatewayParametersSpec, Finding>> {
    let given = spec.infrastructure.as_ref()?.parameters_ref.as_ref()?;
    let key = ObjectKey::new(&gateway.namespace, &given.name);
    Some(parameters::resolve(index, PARAMETERS, &given.group, &given.kind, key))
}

fn own_findings(index: &Index<'_>, gateway: &ObjectKey, spec: &api::GatewaySpec) -> Findings {
    let mut findings = Findings::default();
    findings.extend(parameters_of(index, gateway, spec).and_then(Result::err));
    if spec.allowed_listeners.is_some() {
        let message = "ListenerSets are not served yet: allowedListeners has no effect";
        findings.push(Finding::warning("spec.allowedListeners", UNSUPPORTED_VALUE, message));
    }
    if spec.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        let message = "addresses cannot be asked for yet: spec.addresses has no effect";
        findings.push(Finding::warning("spec.addresses", "UnsupportedAddress", message));
    }
    if spec.tls.as_ref().is_some_and(|tls| tls.backend.is_some()) {
        let message = "client certificates towards backends are not served yet: spec.tls.backend has no effect";
        findings.push(Finding::warning("spec.tls.backend", UNSUPPORTED_VALUE, message));
    }
    findings
}

fn refused_class(class: &str) -> Finding {
    let message = format!("GatewayClass {class} is not accepted, so its Gateways are not served: see its conditions");
    Finding::accepted("spec.gatewayClassName", "Invalid", message)
}

fn unknown_class(key: &ObjectKey, class: &str) -> Problem {
    let message = format!("there is no GatewayClass {class}: nobody serves this Gateway; name an existing one in gatewayClassName");
    let about = About { kind: "Gateway", namespace: &key.namespace, name: &key.name };
    Finding::accepted("spec.gatewayClassName", "UnknownGatewayClass", message).problem(about, "Accepted")
}

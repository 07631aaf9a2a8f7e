//! Gateways of ours and their listeners, which are also those of ListenerSets, judged: valid or not, in conflict or not, with which
//! certificates, open to whom. It knows nothing of routes.

mod address;
mod allowed;
mod certificate;
mod conflict;
mod frontend;
mod listener;
mod orphan;
mod set;

use std::collections::{BTreeMap, BTreeSet};

use crds::GatewayParametersSpec;
use gateway_api::experimental::gateways as api;
use policy::{Family, Hostname, Port, Protocol, config};

use crate::class::{Classes, Owner};
use crate::finding::{Aspect, Finding, Findings};
use crate::index::Index;
use crate::infra::{self, Infra};
use crate::parameters::{self, INVALID_PARAMETERS};
use crate::{ClusterSettings, ObjectKey, Settings};

pub use address::GatewayAddress;
pub(crate) use address::asked;
pub(crate) use listener::{Holder, Listener};
pub(crate) use orphan::Orphan;
pub(crate) use set::{Set, without_gateway};

const PARAMETERS: &str = "spec.infrastructure.parametersRef";
/// The field of the listeners of a Gateway or ListenerSet.
pub(crate) const LISTENERS: &str = "spec.listeners";

/// What became of a Gateway.
#[derive(Debug)]
pub(crate) enum Judged {
    Ours(Box<Gateway>),
    /// Of another controller.
    Anothers,
    /// Nobody serves it, or may ever serve it.
    Nobodys(Box<Orphan>),
}

/// A Gateway of ours.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) generation: Option<i64>,
    /// Its own, then those of its ListenerSets, the oldest first.
    pub(crate) listeners: Vec<Listener>,
    /// How many are its own.
    own: usize,
    /// All that refer to it.
    pub(crate) sets: BTreeMap<ObjectKey, Set>,
    /// About the Gateway itself; each listener has its own.
    pub(crate) findings: Findings,
    /// In a cluster: what runs for it.
    pub(crate) infra: Option<Infra>,
    /// In a cluster: where it is reached.
    pub(crate) addresses: Option<Vec<GatewayAddress>>,
    /// In a cluster: why it is not reached where it asks to be.
    pub(crate) unusable: Option<String>,
    /// It is being deleted: nothing is to be made for it again.
    pub(crate) is_ending: bool,
    /// Shown to backends that ask for one, by resource name.
    pub(crate) client_certificate: Option<(String, config::Secret)>,
    /// Whether it refers to anything beside what its listeners do.
    pub(crate) has_refs: bool,
    /// Whether it lets in clients that should prove who they are and do not.
    pub(crate) is_insecure: bool,
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

    /// Whether its proxies, if there are any, are told anything. How they are run and reached is another matter: a mistake there must not
    /// keep a revoked route or an old token alive.
    pub(crate) fn is_served(&self) -> bool {
        self.findings.mistakes(Aspect::Accepted).all(|mistake| [INVALID_PARAMETERS, address::UNSUPPORTED_ADDRESS].contains(&mistake.reason))
    }

    /// The listeners that stand in the Gateway itself.
    pub(crate) fn own_listeners(&self) -> &[Listener] {
        self.listeners.get(..self.own).unwrap_or_default()
    }

    /// The listeners of one of its ListenerSets, if that may attach.
    pub(crate) fn listeners_of_set(&self, set: &Set) -> &[Listener] {
        self.listeners.get(set.at.clone()).unwrap_or_default()
    }

    /// The listeners that a parentRef may mean: "a Route … can attach to a Listener by having a ListenerSet as a parentRef"
    /// (ListenerEntry.name), and by no other way.
    pub(crate) fn listeners_of(&self, holder: &Holder) -> &[Listener] {
        match holder {
            Holder::Gateway(_) => self.own_listeners(),
            Holder::Set(key) => self.sets.get(key).map(|set| self.listeners_of_set(set)).unwrap_or_default(),
        }
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

/// `told` is the name of what runs for it, as it was told last.
pub(crate) fn judge(index: &Index<'_>, classes: &Classes, gateway: &api::Gateway, settings: &Settings, told: Option<ObjectKey>) -> Judged {
    let (key, class) = (ObjectKey::of(&gateway.metadata), &gateway.spec.gateway_class_name);
    let refused = match classes.owner(class) {
        Owner::Ours => None,
        Owner::OursRefused => Some(refused_class(class)),
        Owner::Another => return Judged::Anothers,
        Owner::Nobody => {
            let account = settings.cluster.as_ref().map(|_| told.unwrap_or_else(|| infra::account(gateway)));
            return Judged::Nobodys(Box::new(Orphan::of(index, &key, gateway, account.as_ref())));
        }
    };
    let mut judged = judge_ours(index, &key, gateway);
    judged.findings.extend(refused);
    match &settings.cluster {
        Some(cluster) => {
            let base = classes.parameters(class).cloned().unwrap_or_default();
            judged.run(index, gateway, &base, cluster);
        }
        None => judged.findings.extend(address::without_effect(&gateway.spec)),
    }
    Judged::Ours(Box::new(judged))
}

fn judge_ours(index: &Index<'_>, key: &ObjectKey, gateway: &api::Gateway) -> Gateway {
    let spec = &gateway.spec;
    let mut findings = own_findings(index, key, spec);
    let admitted = allowed::AllowedNamespaces::of_sets(spec, &mut findings);
    let mut listeners: Vec<Listener> = listener::judge_all(index, (key, spec), &Holder::Gateway(key.clone()), &spec.listeners);
    let own = listeners.len();
    let sets = set::merge(index, key, spec, &admitted, &mut listeners);
    conflict::mark(&mut listeners);
    let reference = spec.tls.as_ref().and_then(|tls| tls.backend.as_ref()?.client_certificate_ref.as_ref());
    let client_certificate = reference.and_then(|reference| certificate::of_client(index, key, reference, &mut findings));
    Gateway {
        generation: gateway.metadata.generation,
        listeners,
        own,
        sets,
        findings,
        infra: None,
        addresses: None,
        unusable: None,
        is_ending: gateway.metadata.deletion_timestamp.is_some(),
        client_certificate,
        has_refs: reference.is_some(),
        is_insecure: frontend::is_insecure(spec),
    }
}

impl Gateway {
    /// What runs for it, from its own parameters and those of its class; and where that is reached.
    fn run(&mut self, index: &Index<'_>, gateway: &api::Gateway, base: &GatewayParametersSpec, cluster: &ClusterSettings) {
        let key = ObjectKey::of(&gateway.metadata);
        let account = infra::account(gateway);
        let addresses = index.service(&account).map(address::of_service).unwrap_or_default();
        self.unusable = address::unusable(&asked(&gateway.spec), &addresses);
        self.addresses = Some(addresses);
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
    findings.extend(address::findings(spec));
    findings
}

fn refused_class(class: &str) -> Finding {
    let message = format!("GatewayClass {class} is not accepted, so its Gateways are not served: see its conditions");
    Finding::accepted("spec.gatewayClassName", "Invalid", message)
}

//! Gateways of ours and their listeners, judged: valid or not, in conflict or not, with which certificates, open to whom. It knows nothing
//! of routes.

mod allowed;
mod certificate;
mod conflict;
mod listener;

use std::collections::BTreeMap;

use gateway_api::experimental::gateways as api;
use policy::config;

use crate::class::{Classes, Owner};
use crate::finding::{About, Aspect, Finding, Findings, Problem};
use crate::index::Index;
use crate::{ObjectKey, Snapshot};

pub(crate) use listener::Listener;

/// The field of a Gateway's listeners.
pub(crate) const LISTENERS: &str = "spec.listeners";

/// What became of all Gateways.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    /// Ours.
    pub(crate) ours: BTreeMap<ObjectKey, Gateway>,
    /// About Gateways that nobody serves, or may ever serve.
    pub(crate) problems: Vec<Problem>,
}

/// A Gateway of ours.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) generation: Option<i64>,
    pub(crate) listeners: Vec<Listener>,
    /// About the Gateway itself; each listener has its own.
    pub(crate) findings: Findings,
}

impl Gateway {
    /// Its listeners with what they speak, if it is served at all.
    pub(crate) fn served(&self) -> impl Iterator<Item = (&Listener, config::Protocol)> {
        let listeners = self.listeners.iter().filter(|_| self.findings.first(Aspect::Accepted).is_none());
        listeners.filter_map(|listener| listener.served().map(|protocol| (listener, protocol)))
    }
}

pub(crate) fn judge_all(index: &Index<'_>, classes: &Classes<'_>, snapshot: &Snapshot) -> Gateways {
    let mut all = Gateways::default();
    for gateway in &snapshot.gateways {
        let key = ObjectKey::of(&gateway.metadata);
        match classes.owner(&gateway.spec.gateway_class_name) {
            Owner::Ours => drop(all.ours.insert(key.clone(), judge(index, &key, gateway))),
            Owner::Another => {}
            Owner::Nobody => all.problems.push(unknown_class(&key, &gateway.spec.gateway_class_name)),
        }
    }
    all
}

fn judge(index: &Index<'_>, key: &ObjectKey, gateway: &api::Gateway) -> Gateway {
    let mut listeners: Vec<Listener> = listener::judge_all(index, key, &gateway.spec);
    conflict::mark(&mut listeners);
    Gateway { generation: gateway.metadata.generation, listeners, findings: own_findings(&gateway.spec) }
}

fn own_findings(spec: &api::GatewaySpec) -> Findings {
    let mut findings = Findings::default();
    if let Some(parameters) = spec.infrastructure.as_ref().and_then(|infrastructure| infrastructure.parameters_ref.as_ref()) {
        let message = format!("parametersRef to {} {} is not understood: remove it", parameters.kind, parameters.name);
        findings.push(Finding::accepted("spec.infrastructure.parametersRef", "InvalidParameters", message));
    }
    if spec.allowed_listeners.is_some() {
        let message = "ListenerSets are not served yet: allowedListeners has no effect";
        findings.push(Finding::warning("spec.allowedListeners", "UnsupportedValue", message));
    }
    findings
}

fn unknown_class(key: &ObjectKey, class: &str) -> Problem {
    let message = format!("there is no GatewayClass {class}: nobody serves this Gateway; name an existing one in gatewayClassName");
    let about = About { kind: "Gateway", namespace: &key.namespace, name: &key.name };
    Finding::accepted("spec.gatewayClassName", "UnknownGatewayClass", message).problem(about, "Accepted")
}

//! The configuration of each Gateway: its listeners, the rules attached to them, and only what those refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::Config;
use policy::config::{Attachment, Backend, Credential, Listener, Protocol, Rule, Secret};

use crate::ObjectKey;
use crate::attach::Attachments;
use crate::finding::Aspect;
use crate::gateway::{self, Gateway, Gateways};
use crate::route::{CompiledRoute, Resources, Routes};

pub(crate) fn configs(gateways: &Gateways, routes: &Routes, attachments: &Attachments) -> BTreeMap<ObjectKey, Config> {
    let accepted = gateways.ours.iter().filter(|(_, gateway)| gateway.findings.first(Aspect::Accepted).is_none());
    accepted.map(|(key, gateway)| (key.clone(), config(key, gateway, routes, attachments))).collect()
}

fn config(key: &ObjectKey, gateway: &Gateway, routes: &Routes, attachments: &Attachments) -> Config {
    let mut config = Config::default();
    for (listener, protocol) in gateway.served() {
        let certificates = listener.certificates.iter().map(|(name, certificate)| (name.clone(), Arc::new(certificate.clone())));
        config.secrets.extend(certificates);
        insert(listener, protocol, &listener.certificates, &mut config);
    }
    for (at, attached) in attachments.by_gateway.get(key).into_iter().flatten() {
        let served = attached.iter().filter(|(listener, _)| config.listeners.contains_key(*listener));
        let served: Vec<Attachment> =
            served.map(|(listener, hosts)| Attachment { listener: listener.clone(), hosts: hosts.clone() }).collect();
        if let Some(route) = routes.routes.get(*at).filter(|_| !served.is_empty()) {
            rules(route, &served, &mut config);
        }
    }
    refer(&mut config, &routes.resources);
    // After the rules: a closed listener has none, whatever its name.
    for (listener, protocol) in gateway.closed() {
        insert(listener, protocol, &[], &mut config);
    }
    config
}

fn insert(listener: &gateway::Listener, protocol: Protocol, certificates: &[(String, Secret)], config: &mut Config) {
    let (Ok(port), Ok(hostname)) = (u16::try_from(listener.port), &listener.hostname) else { return };
    let certificates = certificates.iter().map(|(name, _)| name.clone()).collect();
    let served = Listener { port, protocol, hostname: hostname.clone(), certificates };
    config.listeners.entry(listener.name.clone()).or_insert_with(|| Arc::new(served));
}

fn rules(route: &CompiledRoute, served: &[Attachment], config: &mut Config) {
    for rule in &route.rules {
        let name = format!("{}/{}/{}", route.route.kind.as_str(), route.route.key, rule.index);
        config.rules.insert(name, Arc::new(Rule { attachments: served.to_vec(), ..rule.clone() }));
    }
}

/// Adds what the rules refer to, and nothing else: a proxy holds no Secret that its Gateway does not use.
fn refer(config: &mut Config, resources: &Resources) {
    let names: BTreeSet<String> = config.rules.values().flat_map(|rule| backends(rule)).cloned().collect();
    for name in names {
        if let Some(backend) = resources.backends.get(&name) {
            refer_below(config, resources, backend);
            config.backends.insert(name, Arc::clone(backend));
        }
    }
}

fn refer_below(config: &mut Config, resources: &Resources, backend: &Backend) {
    match backend {
        Backend::Service { endpoints, .. } => {
            let found = resources.endpoints.get(endpoints).cloned();
            config.endpoints.extend(found.map(|found| (endpoints.clone(), found)));
        }
        Backend::Provider(provider) => match &provider.credential {
            Credential::Secret(secret) => {
                let found = resources.secrets.get(secret).cloned();
                config.secrets.extend(found.map(|found| (secret.clone(), found)));
            }
            Credential::Passthrough | Credential::Unavailable(_) => {}
        },
    }
}

fn backends(rule: &Rule) -> Vec<&String> {
    let own = rule.backends.iter().filter_map(|one| one.backend.as_ref().ok());
    let filters = std::iter::once(&rule.filters).chain(rule.backends.iter().map(|one| &one.filters));
    own.chain(filters.flat_map(|filters| &filters.mirrors).map(|mirror| &mirror.backend)).collect()
}

//! Several Gateways in one process: their configurations become one, with listeners named after their Gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::Config;
use translate::ObjectKey;

/// A listener that another Gateway's stands in the way of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    pub(crate) gateway: ObjectKey,
    pub(crate) listener: String,
    pub(crate) message: String,
}

/// One configuration of all. In a cluster each Gateway has an address of its own; here they share one, so a port and hostname can be
/// served for one of them only.
pub(crate) fn merge(configs: BTreeMap<ObjectKey, Config>) -> (Config, Vec<Clash>) {
    let (mut merged, mut clashes) = (Config::default(), Vec::new());
    for (gateway, config) in configs {
        let taken: Vec<_> =
            config.listeners.iter().filter(|(_, listener)| is_taken(&merged, listener)).map(|(name, _)| name.clone()).collect();
        for (name, listener) in config.listeners {
            match taken.contains(&name) {
                true => {
                    let message = format!("port {} is already served for another Gateway of these files: use another port", listener.port);
                    clashes.push(Clash { gateway: gateway.clone(), listener: name, message });
                }
                false => drop(merged.listeners.insert(scoped(&gateway, &name), listener)),
            }
        }
        for (name, rule) in config.rules {
            let mut rule = Arc::unwrap_or_clone(rule);
            rule.attachments.retain(|attachment| !taken.contains(&attachment.listener));
            rule.attachments.iter_mut().for_each(|attachment| attachment.listener = scoped(&gateway, &attachment.listener));
            let known =
                merged.rules.entry(name).or_insert_with(|| Arc::new(policy::config::Rule { attachments: Vec::new(), ..rule.clone() }));
            Arc::make_mut(known).attachments.extend(rule.attachments);
        }
        merged.backends.extend(config.backends);
        merged.endpoints.extend(config.endpoints);
        merged.secrets.extend(config.secrets);
    }
    (merged, clashes)
}

fn scoped(gateway: &ObjectKey, listener: &str) -> String {
    format!("{gateway}/{listener}")
}

fn is_taken(merged: &Config, listener: &policy::config::Listener) -> bool {
    let transport = listener.protocol.transport();
    let mut same_port = merged.listeners.values().filter(|known| known.port == listener.port && known.protocol.transport() == transport);
    same_port.any(|known| known.protocol.family() != listener.protocol.family() || known.hostname == listener.hostname)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::config::{Attachment, Listener, Protocol, Rule};

    fn config(port: u16, protocol: Protocol) -> Config {
        let mut config = Config::default();
        let listener = Listener { port, protocol, hostname: None, certificates: Vec::new(), client_auth: None };
        config.listeners.insert("http".into(), Arc::new(listener));
        let attachment = Attachment { listener: "http".into(), hosts: Vec::new() };
        config.rules.insert("r".into(), Arc::new(Rule { attachments: vec![attachment], ..Rule::default() }));
        config
    }

    fn merged(ports: &[(u16, Protocol)]) -> (Config, Vec<Clash>) {
        let config =
            |(nth, (port, protocol)): (usize, &(u16, Protocol))| (ObjectKey::new("ns", format!("g{nth}")), config(*port, *protocol));
        merge(ports.iter().enumerate().map(config).collect())
    }

    #[test]
    fn a_rule_of_two_gateways_is_served_on_both() {
        let (config, clashes) = merged(&[(80, Protocol::Http), (81, Protocol::Http)]);
        let attached: Vec<_> = config.rules["r"].attachments.iter().map(|attachment| attachment.listener.as_str()).collect();
        assert_eq!((attached, clashes), (vec!["ns/g0/http", "ns/g1/http"], vec![]));
    }

    #[test]
    fn the_second_gateway_on_a_port_is_reported_and_the_first_is_served() {
        let (config, clashes) = merged(&[(80, Protocol::Http), (80, Protocol::Http)]);
        assert_eq!((config.listeners.len(), config.rules["r"].attachments.len(), clashes.len()), (1, 1, 1));
    }

    #[test]
    fn udp_has_ports_of_its_own() {
        let (config, clashes) = merged(&[(53, Protocol::Tcp), (53, Protocol::Udp), (53, Protocol::Udp)]);
        assert_eq!((config.listeners.len(), clashes.len()), (2, 1));
    }
}

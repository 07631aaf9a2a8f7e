//! `Programmed`: in a cluster it is a fact. "The Listeners … have been configured in the data plane" only once every ready proxy has
//! acknowledged them.

use policy::Config;
use policy::wire::{Named, Resource, encode_one};
use sha2::{Digest, Sha256};

use crate::Proxies;
use crate::gateway::Gateway;

/// Why a Gateway is not programmed yet: reason and message. Without a cluster, what can be served is served.
pub(super) fn missing(gateway: &Gateway, proxies: Option<&Proxies>, digest: Option<&String>) -> Option<(&'static str, String)> {
    let addresses = gateway.addresses.as_ref()?;
    if let Some(trouble) = proxies.and_then(|proxies| proxies.trouble.as_ref()) {
        return Some(("NoResources", trouble.clone()));
    }
    if let Some(why) = &gateway.unusable {
        return Some(("AddressNotUsable", why.clone()));
    }
    if addresses.is_empty() {
        let message = "no address has been assigned to the Gateway's Service yet: does the cluster have a load balancer?";
        return Some(("AddressNotAssigned", message.to_owned()));
    }
    let nobody = Proxies::default();
    let proxies = proxies.unwrap_or(&nobody);
    let current = proxies.ready.iter().filter(|pod| proxies.acked.get(*pod) == digest).count();
    match proxies.ready.len() {
        0 => Some(("Pending", "no proxy is ready yet: see the pods of the Gateway's Deployment".to_owned())),
        ready if current < ready => Some(("Pending", format!("{current} of {ready} ready proxies have the current listeners"))),
        _ => None,
    }
}

/// Of listeners and certificates, the same on every replica. A hash of keys tells nothing of them.
pub(crate) fn digest(config: &Config) -> String {
    let mut hash = Sha256::new();
    let certificates = config.listeners.values().flat_map(|listener| &listener.certificates);
    let secrets = certificates.filter_map(|name| Some((name, Resource::Secret(config.secrets.get(name)?.clone()))));
    let listeners = config.listeners.iter().map(|(name, listener)| (name, Resource::Listener(listener.clone())));
    for (name, resource) in listeners.chain(secrets) {
        // What cannot be encoded is never published either.
        let bytes = encode_one(&Named { name: name.clone(), resource }).unwrap_or_default();
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

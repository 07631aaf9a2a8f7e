//! Which proxies run and what they have acknowledged: the facts behind `Programmed`. It does no IO.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use translate::{ObjectKey, Proxies};

/// The label that names a proxy's Gateway infrastructure.
pub(crate) const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";

/// All proxies of all Gateways.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    /// Gateways by the namespace and name of their infrastructure.
    gateways: BTreeMap<ObjectKey, ObjectKey>,
    pods: BTreeMap<ObjectKey, Known>,
    /// Ready pods by the namespace and name of the infrastructure they belong to.
    ready: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// By Gateway and pod: the digest that it acknowledged last, to whichever replica.
    acks: BTreeMap<ObjectKey, BTreeMap<String, String>>,
    /// By Gateway: why something of it could not be applied.
    trouble: BTreeMap<ObjectKey, String>,
}

#[derive(Debug, PartialEq)]
struct Known {
    infra: ObjectKey,
    ready: bool,
}

impl Fleet {
    /// A Gateway's infrastructure has this name.
    pub(crate) fn name(&mut self, infra: ObjectKey, gateway: ObjectKey) {
        self.gateways.retain(|_, named| *named != gateway);
        self.gateways.insert(infra, gateway);
    }

    /// A Gateway is gone.
    pub(crate) fn forget(&mut self, gateway: &ObjectKey) {
        self.gateways.retain(|_, named| named != gateway);
        self.acks.remove(gateway);
        self.trouble.remove(gateway);
    }

    /// Something that is to run for a Gateway could not be applied; `None`: all is there.
    pub(crate) fn trouble(&mut self, gateway: &ObjectKey, trouble: Option<String>) {
        match trouble {
            Some(trouble) => drop(self.trouble.insert(gateway.clone(), trouble)),
            None => drop(self.trouble.remove(gateway)),
        }
    }

    /// Whether every ready proxy has said what it has, to whichever replica.
    pub(crate) fn has_heard_all(&self) -> bool {
        let said = |gateway: &ObjectKey, pod: &String| self.acks.get(gateway).is_some_and(|acks| acks.contains_key(pod));
        self.gateways.iter().all(|(infra, gateway)| self.ready.get(infra).into_iter().flatten().all(|pod| said(gateway, pod)))
    }

    /// A pod as it is now. Gives the Gateway whose facts changed.
    pub(crate) fn pod(&mut self, pod: &Pod) -> Option<ObjectKey> {
        let key = ObjectKey::of(&pod.metadata);
        let name = pod.metadata.labels.as_ref()?.get(INSTANCE_LABEL)?;
        let known = Known { infra: ObjectKey::new(&key.namespace, name), ready: is_ready(pod) };
        let infra = known.infra.clone();
        if self.pods.get(&key) == Some(&known) {
            return None;
        }
        let ready = self.ready.entry(infra.clone()).or_default();
        match known.ready {
            true => ready.insert(key.name.clone()),
            false => ready.remove(&key.name),
        };
        self.pods.insert(key, known);
        self.gateways.get(&infra).cloned()
    }

    /// A pod is gone. Gives the Gateway whose facts changed.
    pub(crate) fn pod_gone(&mut self, pod: &ObjectKey) -> Option<ObjectKey> {
        let known = self.pods.remove(pod)?;
        self.ready.get_mut(&known.infra)?.remove(&pod.name);
        let gateway = self.gateways.get(&known.infra).cloned()?;
        if let Some(acks) = self.acks.get_mut(&gateway) {
            acks.remove(&pod.name);
        }
        Some(gateway)
    }

    /// A pod acknowledged a digest.
    pub(crate) fn ack(&mut self, gateway: &ObjectKey, pod: &str, digest: String) {
        self.acks.entry(gateway.clone()).or_default().insert(pod.to_owned(), digest);
    }

    /// The facts about a Gateway's proxies.
    pub(crate) fn proxies(&self, gateway: &ObjectKey) -> Proxies {
        let infra = self.gateways.iter().find(|(_, named)| *named == gateway).map(|(infra, _)| infra);
        let ready = infra.and_then(|infra| self.ready.get(infra)).cloned().unwrap_or_default();
        Proxies { ready, acked: self.acks.get(gateway).cloned().unwrap_or_default(), trouble: self.trouble.get(gateway).cloned() }
    }
}

/// One that is being deleted drains: it counts no more.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none() && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: bool) -> Pod {
        let status = if ready { "True" } else { "False" };
        serde_json::from_value(serde_json::json!({
            "metadata": { "namespace": "ns", "name": name, "labels": { INSTANCE_LABEL: "gw-keyward" } },
            "status": { "conditions": [{ "type": "Ready", "status": status }] },
        }))
        .unwrap()
    }

    fn fleet() -> (Fleet, ObjectKey) {
        let (mut fleet, gateway) = (Fleet::default(), ObjectKey::new("ns", "gw"));
        fleet.name(ObjectKey::new("ns", "gw-keyward"), gateway.clone());
        (fleet, gateway)
    }

    #[test]
    fn counts_ready_pods_and_tells_only_what_changes() {
        let (mut fleet, gateway) = fleet();
        assert_eq!(fleet.pod(&pod("a", true)), Some(gateway.clone()));
        assert_eq!(fleet.pod(&pod("a", true)), None);
        assert_eq!(fleet.proxies(&gateway).ready, BTreeSet::from(["a".to_owned()]));
        assert_eq!(fleet.pod(&pod("a", false)), Some(gateway.clone()));
        assert!(fleet.proxies(&gateway).ready.is_empty());
    }

    #[test]
    fn an_acknowledgement_stays_until_its_pod_is_gone() {
        let (mut fleet, gateway) = fleet();
        fleet.pod(&pod("a", true));
        fleet.ack(&gateway, "a", "d".to_owned());
        assert_eq!(fleet.proxies(&gateway).acked.get("a").map(String::as_str), Some("d"));
        fleet.pod_gone(&ObjectKey::new("ns", "a"));
        assert!(fleet.proxies(&gateway).acked.is_empty());
    }
}

//! Which pods of proxies exist, and whose proxies they are, so that a config stream ends with the pod at its other end. It does no IO.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use translate::ObjectKey;

use crate::authenticate::Identity;
use crate::proxies::INSTANCE_LABEL;

/// All of them, as the watch tells.
#[derive(Default)]
pub(crate) struct Pods(Mutex<BTreeMap<ObjectKey, Present>>);

struct Present {
    uid: String,
    /// What it is a proxy of: the name of a Gateway's infrastructure, and so of its ServiceAccount.
    instance: String,
    gone: CancellationToken,
}

impl Pods {
    /// A pod is there. If its uid is another than before, the one before is gone; if it is of another Gateway, so is that Gateway's proxy.
    pub(crate) fn there(&self, pod: &Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let instance = pod.metadata.labels.as_ref().and_then(|labels| labels.get(INSTANCE_LABEL)).cloned().unwrap_or_default();
        let (mut pods, key) = (self.0.lock(), ObjectKey::of(&pod.metadata));
        if pods.get(&key).is_some_and(|present| present.uid == uid && present.instance == instance) {
            return;
        }
        if let Some(before) = pods.insert(key, Present { uid, instance, gone: CancellationToken::new() }) {
            before.gone.cancel();
        }
    }

    /// A pod is gone.
    pub(crate) fn gone(&self, pod: &ObjectKey) {
        if let Some(before) = self.0.lock().remove(pod) {
            before.gone.cancel();
        }
    }

    /// What is cancelled when the pod that a token was made for is gone; `None`: it is gone, was not seen yet, or is no proxy of the Gateway
    /// whose ServiceAccount it shows.
    pub(crate) fn end_of(&self, identity: &Identity) -> Option<CancellationToken> {
        let pods = self.0.lock();
        let present = pods.get(&ObjectKey::new(&identity.namespace, &identity.pod))?;
        let is_own = present.uid == identity.pod_uid && present.instance == identity.service_account;
        is_own.then(|| present.gone.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, instance: &str) -> Pod {
        let labels = json!({ INSTANCE_LABEL: instance });
        serde_json::from_value(json!({ "metadata": { "namespace": "ns", "name": "gw-keyward-a", "uid": uid, "labels": labels } })).unwrap()
    }

    fn token(pod_uid: &str) -> Identity {
        Identity {
            namespace: "ns".to_owned(),
            service_account: "gw-keyward".to_owned(),
            pod: "gw-keyward-a".to_owned(),
            pod_uid: pod_uid.to_owned(),
            expires: None,
        }
    }

    #[test]
    fn tells_of_the_end_of_a_pod_that_goes() {
        let pods = Pods::default();
        assert!(pods.end_of(&token("1")).is_none());
        pods.there(&pod("1", "gw-keyward"));
        let end = pods.end_of(&token("1")).unwrap();
        pods.there(&pod("1", "gw-keyward"));
        assert!(!end.is_cancelled());
        pods.gone(&ObjectKey::new("ns", "gw-keyward-a"));
        assert!(end.is_cancelled() && pods.end_of(&token("1")).is_none());
    }

    #[test]
    fn does_not_take_a_pod_for_an_earlier_one_of_its_name() {
        let pods = Pods::default();
        pods.there(&pod("1", "gw-keyward"));
        let end = pods.end_of(&token("1")).unwrap();
        pods.there(&pod("2", "gw-keyward"));
        assert!(end.is_cancelled() && pods.end_of(&token("1")).is_none());
        assert!(!pods.end_of(&token("2")).unwrap().is_cancelled());
    }

    #[test]
    fn does_not_take_a_pod_of_another_gateway_for_a_proxy() {
        let pods = Pods::default();
        for other in ["other-keyward", ""] {
            pods.there(&pod("1", "gw-keyward"));
            let end = pods.end_of(&token("1")).unwrap();
            pods.there(&pod("1", other));
            assert!(end.is_cancelled() && pods.end_of(&token("1")).is_none(), "{other:?}");
        }
    }
}

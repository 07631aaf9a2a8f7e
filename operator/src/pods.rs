//! Which pods of proxies exist, so that a config stream ends with the pod at its other end. It does no IO.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use translate::ObjectKey;

/// All of them, as the watch tells.
#[derive(Default)]
pub(crate) struct Pods(Mutex<BTreeMap<ObjectKey, Present>>);

struct Present {
    uid: String,
    gone: CancellationToken,
}

impl Pods {
    /// A pod is there. If its uid is another than before, the one before is gone.
    pub(crate) fn there(&self, pod: &ObjectKey, uid: &str) {
        let mut pods = self.0.lock();
        if pods.get(pod).is_some_and(|present| present.uid == uid) {
            return;
        }
        let present = Present { uid: uid.to_owned(), gone: CancellationToken::new() };
        if let Some(before) = pods.insert(pod.clone(), present) {
            before.gone.cancel();
        }
    }

    /// A pod is gone.
    pub(crate) fn gone(&self, pod: &ObjectKey) {
        if let Some(before) = self.0.lock().remove(pod) {
            before.gone.cancel();
        }
    }

    /// What is cancelled when the pod is gone; `None`: it is gone, or was not seen yet.
    pub(crate) fn end_of(&self, pod: &ObjectKey, uid: &str) -> Option<CancellationToken> {
        let pods = self.0.lock();
        pods.get(pod).filter(|present| present.uid == uid).map(|present| present.gone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> ObjectKey {
        ObjectKey::new("ns", "gw-keyward-a")
    }

    #[test]
    fn tells_of_the_end_of_a_pod_that_goes() {
        let pods = Pods::default();
        assert!(pods.end_of(&pod(), "1").is_none());
        pods.there(&pod(), "1");
        let end = pods.end_of(&pod(), "1").unwrap();
        pods.there(&pod(), "1");
        assert!(!end.is_cancelled());
        pods.gone(&pod());
        assert!(end.is_cancelled() && pods.end_of(&pod(), "1").is_none());
    }

    #[test]
    fn does_not_take_a_pod_for_an_earlier_one_of_its_name() {
        let pods = Pods::default();
        pods.there(&pod(), "1");
        let end = pods.end_of(&pod(), "1").unwrap();
        pods.there(&pod(), "2");
        assert!(end.is_cancelled() && pods.end_of(&pod(), "1").is_none());
        assert!(!pods.end_of(&pod(), "2").unwrap().is_cancelled());
    }
}

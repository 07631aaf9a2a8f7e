//! The webhook as it was installed: its replicas, what they log and count; without it for a while, in the whole cluster or in some
//! namespaces.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::RunningPod;
use crate::{Cluster, Kind, Page, SYSTEM, wait_until};

const DEPLOYMENT: &str = "deployment/keyward-webhook";
/// The ValidatingWebhookConfiguration, and the Secret's name without its end.
pub(crate) const NAME: &str = "keyward-webhook";
pub(crate) const LABELS: &str = "app.kubernetes.io/name=keyward-webhook";
const HTTP: u16 = 8080;
const READY: Duration = Duration::from_secs(90);

/// The webhook.
#[derive(Clone, Copy)]
pub struct Webhook<'c>(pub &'c Cluster);

impl<'c> Webhook<'c> {
    /// Its replicas that run.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn replicas(self) -> Result<Vec<RunningPod>> {
        self.0.running_pods(SYSTEM, LABELS)
    }

    /// Waits until both replicas are ready and no other runs.
    ///
    /// # Errors
    /// When they do not become ready.
    pub fn settled(self) -> Result<Vec<RunningPod>> {
        wait_until("two replicas of the webhook are ready", READY, || {
            let replicas = self.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(replicas)
        })
    }

    /// The metrics of a replica.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(self, replica: &RunningPod) -> Result<Page> {
        Page::read(replica.address, HTTP)
    }

    /// The sum of a metric over all replicas.
    ///
    /// # Errors
    /// When one does not answer.
    pub fn sum(self, metric: &str) -> Result<f64> {
        self.replicas()?.iter().map(|replica| anyhow::Ok(self.metrics(replica)?.sum(metric))).sum()
    }

    /// What all pods have logged.
    ///
    /// # Errors
    /// When `kubectl logs` fails.
    pub fn logs(self) -> Result<String> {
        self.0.kubectl(&["logs", "-n", SYSTEM, "-l", LABELS, "--tail=-1", "--prefix"], None)
    }

    /// Starts all replicas anew, one after the other, and waits until that is through.
    ///
    /// # Errors
    /// When it is not, for long.
    pub fn restart(self) -> Result<()> {
        self.0.kubectl(&["rollout", "restart", "-n", SYSTEM, DEPLOYMENT], None)?;
        self.0.kubectl(&["rollout", "status", "-n", SYSTEM, DEPLOYMENT, "--timeout=120s"], None)?;
        self.settled().map(drop)
    }

    /// Takes it away until the result is dropped: no pod of it runs any more.
    ///
    /// # Errors
    /// When a pod stays.
    pub fn take_away(self) -> Result<Away<'c>> {
        let away = Away(self);
        self.scale(0)?;
        wait_until("no pod of the webhook is left", READY, || {
            let left = self.0.list(Kind::POD, SYSTEM, LABELS)?;
            ensure!(left.is_empty(), "{} pods", left.len());
            Ok(())
        })?;
        Ok(away)
    }

    fn scale(self, replicas: u8) -> Result<()> {
        self.0.kubectl(&["scale", "-n", SYSTEM, DEPLOYMENT, &format!("--replicas={replicas}")], None).map(drop)
    }
}

/// The webhook is away until this is dropped.
pub struct Away<'c>(Webhook<'c>);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let back = self.0.scale(2).and_then(|()| self.0.settled());
        if let Err(error) = back {
            eprintln!("the webhook does not come back: {error:#}");
        }
    }
}

/// Namespaces with a label are none of the webhook's until this is dropped.
pub struct Excluding<'c>(&'c Cluster);

impl<'c> Excluding<'c> {
    /// The label's key; its value does not matter.
    pub const LABEL: &'static str = "e2e.keyward.dev/no-webhook";

    /// Excludes them. API servers come to know of it within moments.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn new(cluster: &'c Cluster) -> Result<Self> {
        let this = Self(cluster);
        this.select(&json!({ "matchExpressions": [{ "key": Self::LABEL, "operator": "DoesNotExist" }] }))?;
        Ok(this)
    }

    fn select(&self, selector: &serde_json::Value) -> Result<()> {
        let configuration = self.0.get(Kind::VALIDATING_WEBHOOKS, "", NAME)?;
        let count = configuration["webhooks"].as_array().map(Vec::len).unwrap_or_default();
        let place = |nth: usize| format!("/webhooks/{nth}/namespaceSelector");
        let patch: serde_json::Value = (0..count).map(|nth| json!({ "op": "add", "path": place(nth), "value": selector })).collect();
        let patch = patch.to_string();
        self.0.kubectl(&["patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", &patch], None).map(drop)
    }
}

impl Drop for Excluding<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.select(&json!({})) {
            eprintln!("the webhook goes on without some namespaces: {error:#}");
        }
    }
}

//! The operator as it was installed: its replicas, what they log and count, and which of them writes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::RunningPod;
use crate::{Cluster, Kind, Page, wait_until};

/// The namespace it runs in.
pub const SYSTEM: &str = "keyward-system";
const NAME: &str = "keyward-operator";
const LABELS: &str = "app.kubernetes.io/name=keyward-operator";
const HTTP: u16 = 8080;
const READY: Duration = Duration::from_secs(90);

/// The operator.
#[derive(Clone, Copy)]
pub struct Operator<'c>(pub &'c Cluster);

impl Operator<'_> {
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
        wait_until("two replicas of the operator are ready", READY, || {
            let replicas = self.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(replicas)
        })
    }

    /// The replica that writes.
    ///
    /// # Errors
    /// When none does.
    pub fn leader(self) -> Result<RunningPod> {
        let holder = self.holder()?.context("nobody has the lease")?;
        let found = self.replicas()?.into_iter().find(|pod| pod.name == holder);
        found.with_context(|| format!("{holder} has the lease and does not run"))
    }

    /// Who has the lease.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn holder(self) -> Result<Option<String>> {
        let lease = self.0.get(Kind::LEASE, SYSTEM, NAME)?;
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).filter(|holder| !holder.is_empty());
        Ok(holder.map(str::to_owned))
    }

    /// Waits until somebody else has the lease, and gives its name.
    ///
    /// # Errors
    /// When nobody else gets it.
    pub fn leader_other_than(self, old: &str, within: Duration) -> Result<String> {
        wait_until("another replica has the lease", within, || match self.holder()? {
            Some(holder) if holder != old => Ok(holder),
            other => bail!("the lease is {other:?}'s"),
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

    /// What all pods have logged, those that are not ready among them.
    ///
    /// # Errors
    /// When `kubectl logs` fails.
    pub fn logs(self) -> Result<String> {
        self.0.kubectl(&["logs", "-n", SYSTEM, "-l", LABELS, "--tail=-1", "--prefix"], None)
    }

    /// Starts all replicas anew, one after the other, and does not wait.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn restart(self) -> Result<()> {
        self.0.kubectl(&["rollout", "restart", "-n", SYSTEM, "deployment/keyward-operator"], None).map(drop)
    }

    /// Waits until a restart is through.
    ///
    /// # Errors
    /// When it is not, for long.
    pub fn restarted(self) -> Result<()> {
        self.0.kubectl(&["rollout", "status", "-n", SYSTEM, "deployment/keyward-operator", "--timeout=120s"], None)?;
        self.settled().map(drop)
    }

    /// How often containers of replicas were started again.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn crashes(self) -> Result<u64> {
        let pods = self.0.list(Kind::POD, SYSTEM, LABELS)?;
        Ok(pods.iter().filter_map(|pod| pod.pointer("/status/containerStatuses/0/restartCount")?.as_u64()).sum())
    }
}

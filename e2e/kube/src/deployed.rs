//! What was installed as a Deployment of two replicas: which of them run, what they log and count, how they are started anew. The operator
//! and the webhook are alike in that.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cluster::RunningPod;
use crate::{Cluster, Page, wait_until};

/// The namespace it is in.
pub const SYSTEM: &str = "keyward-system";
/// Where replicas show their metrics, and how ready they are.
pub(crate) const HTTP: u16 = 8080;
pub(crate) const READY: Duration = Duration::from_secs(90);

/// A Deployment of two replicas in [`SYSTEM`].
pub trait Deployed {
    /// Its name.
    const NAME: &'static str;
    /// Which pods are its own.
    const LABELS: &'static str;

    /// The cluster it is in.
    fn cluster(&self) -> &Cluster;

    /// Its replicas that run.
    ///
    /// # Errors
    /// When the API server does not answer.
    fn replicas(&self) -> Result<Vec<RunningPod>> {
        self.cluster().running_pods(SYSTEM, Self::LABELS)
    }

    /// Waits until both replicas are ready and no other runs.
    ///
    /// # Errors
    /// When they do not become ready.
    fn settled(&self) -> Result<Vec<RunningPod>> {
        wait_until(&format!("two replicas of {} are ready", Self::NAME), READY, || {
            let replicas = self.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(replicas)
        })
    }

    /// The metrics of a replica.
    ///
    /// # Errors
    /// When it does not answer.
    fn metrics(&self, replica: &RunningPod) -> Result<Page> {
        Page::read(replica.address, HTTP)
    }

    /// The sum of a metric over all replicas.
    ///
    /// # Errors
    /// When one does not answer.
    fn sum(&self, metric: &str) -> Result<f64> {
        self.replicas()?.iter().map(|replica| anyhow::Ok(self.metrics(replica)?.sum(metric))).sum()
    }

    /// What all pods have logged, those that are not ready among them.
    ///
    /// # Errors
    /// When `kubectl logs` fails.
    fn logs(&self) -> Result<String> {
        self.cluster().kubectl(&["logs", "-n", SYSTEM, "-l", Self::LABELS, "--tail=-1", "--prefix"], None)
    }

    /// Starts all replicas anew, one after the other, and does not wait.
    ///
    /// # Errors
    /// When the API server refuses.
    fn restart(&self) -> Result<()> {
        self.cluster().kubectl(&["rollout", "restart", "-n", SYSTEM, "deployment", Self::NAME], None).map(drop)
    }

    /// Waits until a restart is through.
    ///
    /// # Errors
    /// When it is not, for long.
    fn restarted(&self) -> Result<()> {
        self.cluster().kubectl(&["rollout", "status", "-n", SYSTEM, "deployment", Self::NAME, "--timeout=120s"], None)?;
        self.settled().map(drop)
    }
}

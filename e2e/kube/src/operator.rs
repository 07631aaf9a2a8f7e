//! The operator as it was installed, and which of its replicas writes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::RunningPod;
use crate::{Cluster, Deployed, Kind, SOON, SYSTEM, wait_until};

/// The operator.
#[derive(Clone, Copy)]
pub struct Operator<'c>(pub &'c Cluster);

impl Deployed for Operator<'_> {
    const NAME: &'static str = "keyward-operator";
    const LABELS: &'static str = "app.kubernetes.io/name=keyward-operator";

    fn cluster(&self) -> &Cluster {
        self.0
    }
}

impl Operator<'_> {
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
        let lease = self.0.get(Kind::LEASE, SYSTEM, Self::NAME)?;
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

    /// Waits until one replica leads, by what the replicas count.
    ///
    /// # Errors
    /// When none does, or more than one.
    pub fn one_leads(self) -> Result<()> {
        wait_until("one replica leads", SOON, || {
            let leaders = self.sum("keyward_operator_leader")?;
            ensure!(leaders == 1.0, "{leaders} replicas do");
            Ok(())
        })
    }

    /// How often containers of replicas were started again.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn crashes(self) -> Result<u64> {
        let pods = self.0.list(Kind::POD, SYSTEM, Self::LABELS)?;
        Ok(pods.iter().filter_map(|pod| pod.pointer("/status/containerStatuses/0/restartCount")?.as_u64()).sum())
    }
}

//! A test's own namespace.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::cluster::RunningPod;
use crate::{Cluster, Kind, POD, wait_until};

/// The port of all Gateways of these tests.
pub const PORT: u16 = 8080;

/// A namespace; it is deleted, with everything in it, when this is dropped.
pub struct Namespace<'c> {
    cluster: &'c Cluster,
    name: String,
}

impl<'c> Namespace<'c> {
    /// A new one, whose name begins with `prefix`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(cluster: &'c Cluster, prefix: &str) -> Result<Self> {
        Self::named(cluster, &format!("{prefix}-{:08x}", fastrand::u32(..)))
    }

    /// One of this name, after an earlier one is gone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn named(cluster: &'c Cluster, name: &str) -> Result<Self> {
        cluster.delete(Kind::NAMESPACE, "", name)?;
        cluster.gone(Kind::NAMESPACE, "", name, 2 * POD)?;
        cluster.kubectl(&["create", "namespace", name], None)?;
        Ok(Self { cluster, name: name.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it is in.
    #[must_use]
    pub fn cluster(&self) -> &'c Cluster {
        self.cluster
    }

    /// Applies manifests that name no namespace, here.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.cluster.kubectl(&["apply", "-n", &self.name, "-f-"], Some(manifests))
    }

    /// An object here.
    ///
    /// # Errors
    /// When it is not there.
    pub fn get(&self, kind: Kind, name: &str) -> Result<Value> {
        self.cluster.get(kind, &self.name, name)
    }

    /// Deletes an object here.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.cluster.delete(kind, &self.name, name)
    }

    /// Where a Gateway here takes requests, once it is programmed.
    ///
    /// # Errors
    /// When it does not become programmed.
    pub fn address(&self, gateway: &str) -> Result<SocketAddr> {
        let address: IpAddr = self.cluster.gateway_address(&self.name, gateway)?;
        Ok(SocketAddr::new(address, PORT))
    }

    /// The proxies of a Gateway here, once so many are ready.
    ///
    /// # Errors
    /// When there are others.
    pub fn proxies(&self, gateway: &str, count: usize) -> Result<Vec<RunningPod>> {
        let labels = format!("gateway.networking.k8s.io/gateway-name={gateway}");
        wait_until(&format!("{count} proxies of {gateway} are ready"), POD, || {
            let pods = self.cluster.running_pods(&self.name, &labels)?;
            ensure!(pods.len() == count && pods.iter().all(|pod| pod.ready), "{pods:?}");
            Ok(pods)
        })
    }

    /// What Events here say about objects of this name: reason and message of each.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn events_about(&self, name: &str) -> Result<Vec<(String, String)>> {
        let events = self.cluster.list(Kind::EVENT, &self.name, "")?;
        let about = events.iter().filter(|event| event.pointer("/involvedObject/name").is_some_and(|about| about == name));
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        Ok(about.map(|event| (text(event, "reason"), text(event, "message"))).collect())
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.delete(Kind::NAMESPACE, "", &self.name) {
            eprintln!("namespace {} stays behind: {error:#}", self.name);
        }
    }
}

//! A CRD is missing when the operator starts: it says so, waits, and serves once it is there.

use std::path::Path;

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::{gateway, route, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Namespace, Operator, POD, Provider, SOON, is_served, wait_until};

fn install(cluster: &Cluster) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/crd");
    let directory = directory.to_string_lossy();
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &directory], None).map(drop)
}

/// Puts the CRDs back, whatever became of the test.
struct Installed<'c>(&'c Cluster);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if let Err(error) = install(self.0) {
            eprintln!("Keyward's CRDs are missing: {error:#}");
        }
    }
}

#[test]
fn says_which_crd_is_missing_waits_for_it_and_serves_once_it_is_there() -> Result<()> {
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    operator.settled()?;
    let installed = Installed(&cluster);
    cluster.kubectl(&["delete", "crd", "upstreams.gloo.solo.io", "--timeout=60s"], None)?;
    operator.restart()?;
    wait_until("the log says it", POD, || {
        let log = operator.logs()?;
        let said = |line: &str| line.contains("Upstream are not known to the API server") && line.contains("install their CRDs");
        ensure!(log.lines().any(said), "nothing is said");
        Ok(())
    })?;
    drop(installed);
    operator.restarted()?;
    let namespace = Namespace::create(&cluster, "crds")?;
    let provider = Provider::start(&namespace, &["sk-crds"])?;
    let chat = upstream("chat", "{inline: sk-crds}", &provider.custom_host());
    wait_until("the API server knows the kind", SOON, || {
        namespace.apply(&[gateway("gw"), chat.clone(), route("chat", "gw", "chat")].concat()).map(drop)
    })?;
    let address = namespace.address("gw")?;
    is_served(address, "chat")
}

//! Keyward is uninstalled as docs/install.md says, with a Gateway and objects that its webhook judges still there: nothing hangs. Then it is
//! installed again.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, POD, SYSTEM, Webhook, is_ours, wait_until};

const WITHIN: Duration = Duration::from_secs(120);

fn kustomize(cluster: &Cluster, verb: &[&str]) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/default");
    let directory = directory.to_string_lossy();
    let arguments: Vec<&str> = verb.iter().copied().chain(["-k", &directory]).collect();
    cluster.kubectl(&arguments, None).map(drop)
}

/// Puts it back, whatever became of the test.
struct Installed<'c>(&'c Cluster);

impl Installed<'_> {
    fn again(&self) -> Result<()> {
        self.0.gone(Kind::NAMESPACE, "", SYSTEM, WITHIN)?;
        // CRDs that go are in the way of those that come.
        wait_until("it is installed", POD, || kustomize(self.0, &["apply", "--server-side", "--force-conflicts"]))?;
        Operator(self.0).settled()?;
        Webhook(self.0).settled().map(drop)
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.again() {
            eprintln!("Keyward is not installed: {error:#}");
        }
    }
}

#[test]
fn uninstalling_never_hangs_and_leaves_nothing_that_refuses() -> Result<()> {
    if !is_ours() {
        eprintln!("this is somebody else's cluster, which keeps its Keyward: nothing is tested");
        return Ok(());
    }
    let cluster = Cluster::alone()?;
    Operator(&cluster).settled()?;
    Webhook(&cluster).settled()?;
    let namespace = Namespace::create(&cluster, "uninstall")?;
    let gateway = gateway_with("gw", "[{name: http, protocol: HTTP, port: 8080}]", None);
    namespace.apply(&[gateway, upstream("openai", "{inline: sk-uninstall}", "")].concat())?;
    namespace.address("gw")?;
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    let _installed = Installed(&cluster);
    let start = Instant::now();
    kustomize(&cluster, &["delete", "--timeout=110s"])?;
    assert!(start.elapsed() < WITHIN, "{:?}", start.elapsed());
    ensure!(cluster.find(Kind::VALIDATING_WEBHOOKS, "", "keyward-webhook")?.is_none(), "the webhook configuration is left");
    ensure!(cluster.find(Kind::CRD, "", "upstreams.gloo.solo.io")?.is_none(), "the CRD is left");
    ensure!(cluster.find(Kind::NAMESPACE, "", SYSTEM)?.is_none(), "the namespace is left");
    // Gateway API's kinds are still there, and nobody refuses them.
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: literal}\nspec: {rules: [{filters: [{type: \
                 RequestHeaderModifier, requestHeaderModifier: {set: [{name: authorization, value: x}]}}]}]}\n";
    namespace.apply(route).map(drop)
}

//! Keyward is uninstalled as docs/install.md says, with a Gateway and objects that its webhook judges still there: nothing hangs, and nothing
//! that is left refuses. Then it is installed again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, POD, SYSTEM, Webhook, is_ours, wait_until};

const WITHIN: Duration = Duration::from_secs(120);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn kustomize(cluster: &Cluster, verb: &[&str]) -> Result<()> {
    let directory = root().join("config/default");
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

/// The cluster, alone, with Keyward as it was installed. `None`: it is somebody else's, which keeps its Keyward.
fn installed() -> Result<Option<Cluster>> {
    if !is_ours() {
        eprintln!("this is somebody else's cluster, which keeps its Keyward: nothing is tested");
        return Ok(None);
    }
    let cluster = Cluster::alone()?;
    Operator(&cluster).settled()?;
    Webhook(&cluster).settled()?;
    Ok(Some(cluster))
}

/// The page's own commands for whoever keeps the CRDs.
fn uninstall_all_but_the_crds(cluster: &Cluster) -> Result<()> {
    let page = std::fs::read_to_string(root().join("docs/install.md"))?;
    let after = page.split_once("To keep them:\n\n```sh\n").context("the page has other words")?.1;
    let (commands, _) = after.split_once("```").context("the commands have no end")?;
    let script = format!("set -e\ncd '{}'\n{commands}", root().display());
    let said = cluster.run_program("timeout", &["110", "bash", "-c", &script], None)?;
    ensure!(said.succeeded, "{script}: {said:?}");
    Ok(())
}

#[test]
fn uninstalling_never_hangs_and_leaves_nothing_that_refuses() -> Result<()> {
    let Some(cluster) = installed()? else { return Ok(()) };
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

#[test]
fn uninstalling_may_keep_the_crds_with_their_objects_and_leaves_nothing_that_refuses() -> Result<()> {
    let Some(cluster) = installed()? else { return Ok(()) };
    let namespace = Namespace::create(&cluster, "kept")?;
    namespace.apply(&upstream("before", "{secretRef: {name: key}}", ""))?;
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    let _installed = Installed(&cluster);
    uninstall_all_but_the_crds(&cluster)?;
    ensure!(cluster.find(Kind::VALIDATING_WEBHOOKS, "", "keyward-webhook")?.is_none(), "the webhook configuration is left");
    ensure!(cluster.find(Kind::NAMESPACE, "", SYSTEM)?.is_none(), "the namespace is left");
    namespace.get(Kind::UPSTREAM, "before")?;
    // The webhook would have refused it, and without its pods it would do so for ever.
    namespace.apply(&upstream("after", "{inline: sk-kept}", "")).map(drop)
}

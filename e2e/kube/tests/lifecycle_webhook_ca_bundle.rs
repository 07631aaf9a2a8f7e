//! Something resets the caBundle, as GitOps tools do: it is put right, and reviews are answered again.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyward_e2e::Authority;
use keyward_e2e_kube::{Attempt, Cluster, Deployed, Kind, Namespace, SOON, Webhook, wait_until};
use serde_json::{Value, json};

const NAME: &str = "keyward-webhook";

/// One per webhook of the configuration.
fn bundles(cluster: &Cluster) -> Result<Vec<Value>> {
    let configuration = cluster.get(Kind::VALIDATING_WEBHOOKS, "", NAME)?;
    let webhooks = configuration["webhooks"].as_array().context("no webhooks")?;
    Ok(webhooks.iter().map(|webhook| webhook["clientConfig"]["caBundle"].clone()).collect())
}

fn reset(cluster: &Cluster, operation: &Value) -> Result<()> {
    let patch = json!([operation]).to_string();
    cluster.kubectl(&["patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", &patch], None).map(drop)
}

#[test]
fn a_bundle_that_is_reset_is_put_right_and_reviews_are_answered() -> Result<()> {
    let cluster = Cluster::alone()?;
    Webhook(&cluster).settled()?;
    let namespace = Namespace::create(&cluster, "bundle")?;
    let inline = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai" },
        "spec": { "ai": { "openai": { "authToken": { "inline": "sk-bundle" } } } },
    });
    let attempt = Attempt::create(Kind::UPSTREAM, namespace.name(), &inline);
    let right = bundles(&cluster)?;
    let foreign = STANDARD.encode(std::fs::read(Authority::generate()?.ca_file())?);
    let path = "/webhooks/0/clientConfig/caBundle";
    for operation in [json!({ "op": "remove", "path": path }), json!({ "op": "replace", "path": path, "value": foreign })] {
        reset(&cluster, &operation)?;
        wait_until("the bundle is put right", SOON, || {
            ensure!(bundles(&cluster)? == right, "it is another");
            Ok(())
        })?;
        wait_until("reviews are answered", SOON, || {
            let answer = cluster.attempt(&attempt)?;
            ensure!(answer.is_allowed(), "{answer:?}");
            Ok(())
        })?;
        // Neither of the replicas gave up its place for that.
        Webhook(&cluster).settled()?;
    }
    Ok(())
}

/// What a GitOps tool does with what is in Git.
#[test]
fn applying_the_manifests_again_leaves_the_bundle_alone() -> Result<()> {
    let cluster = Cluster::alone()?;
    Webhook(&cluster).settled()?;
    let right = bundles(&cluster)?;
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/webhook");
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &directory.to_string_lossy()], None)?;
    assert_eq!(bundles(&cluster)?, right);
    Webhook(&cluster).settled().map(drop)
}

//! What was there before a label stays editable: only what introduces or changes a violation is refused.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::upstream;
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, Said, condition, wait_until};
use serde_json::{Value, json};

const BEFORE: &str = "sk-ratchet-before";
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";
const FINALIZER: &str = "e2e.keyward.dev/kept";

/// A protected namespace, in which an Upstream has had an inline token since it was open. Applied, so that there is a copy as well.
fn with_a_past<'c>(cluster: &'c Cluster, prefix: &str) -> Result<Namespace<'c>> {
    let namespace = Namespace::create(cluster, prefix)?;
    namespace.apply(&upstream("openai", &format!("{{inline: {BEFORE}}}"), ""))?;
    let label = "credentials.keyward.dev/enforce=protected";
    cluster.kubectl(&["label", "namespace", namespace.name(), label], None)?;
    Ok(namespace)
}

fn apply(namespace: &Namespace<'_>, token: &str, more: &str) -> Result<Said> {
    let manifest = upstream("openai", token, more);
    namespace.cluster().run_program("kubectl", &["apply", "-n", namespace.name(), "-f-"], Some(&manifest))
}

fn patch(namespace: &Namespace<'_>, patch: &Value) -> Result<()> {
    namespace.cluster().patch(Kind::UPSTREAM, namespace.name(), "openai", patch)
}

#[test]
fn an_edit_beside_an_old_token_passes_with_a_warning_and_a_changed_token_does_not() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = with_a_past(&cluster, "edit")?;
    let said = apply(&namespace, &format!("{{inline: {BEFORE}}}"), "model: gpt-4o")?;
    ensure!(said.succeeded && said.errors.contains("Warning: spec.ai.openai.authToken.inline"), "{said:?}");
    let said = apply(&namespace, "{inline: sk-ratchet-after}", "model: gpt-4o")?;
    ensure!(!said.succeeded && said.errors.contains("spec.ai.openai.authToken.inline"), "{said:?}");
    let said = apply(&namespace, "{secretRef: {name: moved}}", "model: gpt-4o")?;
    ensure!(said.succeeded && !said.errors.contains("Warning"), "{said:?}");
    let said = apply(&namespace, &format!("{{inline: {BEFORE}}}"), "model: gpt-4o")?;
    ensure!(!said.succeeded, "the old token comes back: {said:?}");
    Ok(())
}

/// A patch leaves the copy as it was, and what is as it was is not asked about: so a token can be taken out while no webhook runs.
#[test]
fn a_token_that_is_removed_elsewhere_leaves_a_copy_that_the_operator_tells_of_until_it_is_gone() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = with_a_past(&cluster, "copy")?;
    let reference = json!([{ "op": "replace", "path": "/spec/ai/openai/authToken", "value": { "secretRef": { "name": "moved" } } }]);
    let kubectl = |arguments: &[&str]| cluster.run_program("kubectl", arguments, None);
    let said = kubectl(&["patch", "upstream", "openai", "-n", namespace.name(), "--type=json", "-p", &reference.to_string()])?;
    ensure!(said.succeeded, "{said:?}");
    wait_until("the copy is told of", SOON, || {
        let found = namespace.get(Kind::UPSTREAM, "openai")?;
        let condition = condition(&found["status"], "InlineCredentials")?;
        ensure!(condition["message"].as_str().is_some_and(|message| message.starts_with("metadata.annotations[")), "{condition:#}");
        Ok(())
    })?;
    let said = kubectl(&["annotate", "upstream", "openai", "-n", namespace.name(), &format!("{COPY}-")])?;
    ensure!(said.succeeded && !said.errors.contains("Warning"), "{said:?}");
    let left = namespace.get(Kind::UPSTREAM, "openai")?.to_string();
    ensure!(!left.contains(BEFORE), "the token is there still");
    Ok(())
}

#[test]
fn status_finalizers_labels_and_deletion_always_pass() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = with_a_past(&cluster, "always")?;
    patch(&namespace, &json!({ "metadata": { "labels": { "a": "b" }, "finalizers": [FINALIZER] } }))?;
    let status = json!({ "status": { "statuses": { "elsewhere": { "state": "Pending" } } } });
    cluster.patch_status(Kind::UPSTREAM, namespace.name(), "openai", &status)?;
    namespace.delete(Kind::UPSTREAM, "openai")?;
    ensure!(cluster.find(Kind::UPSTREAM, namespace.name(), "openai")?.is_some(), "the finalizer keeps nothing");
    patch(&namespace, &json!({ "metadata": { "finalizers": null } }))?;
    cluster.gone(Kind::UPSTREAM, namespace.name(), "openai", SOON)
}

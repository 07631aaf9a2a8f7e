//! Levels are labels of namespaces, and a label counts for the next request.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::upstream;
use keyward_e2e_kube::{Cluster, Kind, Namespace, OwnWebhook, SOON, Said, wait_until};

const ENFORCE: &str = "credentials.keyward.dev/enforce";
const WARNING: &str = "Warning: spec.ai.openai.authToken.inline: a token in the manifest; use secretRef";

fn label(namespace: &Namespace<'_>, key: &str, value: &str) -> Result<()> {
    let label = format!("{key}={value}");
    namespace.cluster().kubectl(&["label", "--overwrite", "namespace", namespace.name(), &label], None).map(drop)
}

/// The creation of an inline token, tried as a user tries it.
fn create(namespace: &Namespace<'_>) -> Result<Said> {
    let arguments = ["create", "--dry-run=server", "-n", namespace.name(), "-f-"];
    namespace.cluster().run_program("kubectl", &arguments, Some(&upstream("openai", "{inline: sk-label}", "")))
}

#[test]
fn a_changed_label_counts_for_the_next_request() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "labels")?;
    for level in ["protected", "open", "restricted", "open"] {
        label(&namespace, ENFORCE, level)?;
        let said = create(&namespace)?;
        ensure!(said.succeeded == (level == "open"), "{level}: {said:?}");
        ensure!(said.succeeded || said.errors.contains(&format!("is {level} for credentials")), "{level}: {said:?}");
    }
    Ok(())
}

#[test]
fn each_purpose_has_its_own_label() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "purposes")?;
    let said = create(&namespace)?;
    ensure!(said.succeeded && said.errors.contains(WARNING), "without labels: {said:?}");
    label(&namespace, "credentials.keyward.dev/warn", "open")?;
    let said = create(&namespace)?;
    ensure!(said.succeeded && !said.errors.contains("Warning"), "warn=open: {said:?}");
    Ok(())
}

#[test]
fn a_misspelt_level_counts_as_the_strictest_and_says_so() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "misspelt")?;
    label(&namespace, ENFORCE, "Protected")?;
    let said = create(&namespace)?;
    let told =
        said.errors.contains("Warning: label credentials.keyward.dev/enforce") && said.errors.contains("is restricted for credentials");
    ensure!(!said.succeeded && told, "{said:?}");
    Ok(())
}

#[test]
fn a_default_of_the_cluster_counts_where_there_is_no_label() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "default")?;
    let _webhook = OwnWebhook::start(&namespace, &["--default-enforce=protected"])?;
    wait_until("what has no label is protected", SOON, || {
        let said = create(&namespace)?;
        ensure!(!said.succeeded && said.errors.contains("is protected for credentials"), "{said:?}");
        Ok(())
    })?;
    label(&namespace, ENFORCE, "open")?;
    let said = create(&namespace)?;
    ensure!(said.succeeded && said.errors.contains(WARNING), "enforce=open: {said:?}");
    Ok(())
}

/// The namespace is younger than what the webhook's watch has told.
#[test]
fn a_namespace_and_an_object_in_it_may_come_in_one_apply() -> Result<()> {
    let cluster = Cluster::shared()?;
    for (level, passes) in [("open", true), ("protected", false)] {
        let name = format!("together-{level}-{}", std::process::id());
        let object =
            upstream("openai", "{inline: sk-together}", "").replace("{name: openai}", &format!("{{name: openai, namespace: {name}}}"));
        let both = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{ENFORCE}: {level}}}}}\n---\n{object}");
        let said = cluster.run_program("kubectl", &["apply", "-f-"], Some(&both))?;
        cluster.delete(Kind::NAMESPACE, "", &name)?;
        ensure!(said.succeeded == passes && !said.errors.contains("not known yet"), "{level}: {said:?}");
    }
    Ok(())
}

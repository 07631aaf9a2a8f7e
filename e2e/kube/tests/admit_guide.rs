//! The guide's inline token in a protected namespace: refused, with commands that put it right when they are pasted into a shell.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, wait_until};
use serde_json::{Value, json};

const INLINE: &str = include_str!("../guide/upstream-inline.yaml");
const TOKEN: &str = "sk-guide-protected";
const COPY: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
const ENFORCE: &str = "credentials.keyward.dev/enforce=protected";

/// The commands of a refusal: lines that are indented as commands are.
fn commands(refusal: &str) -> Vec<&str> {
    let lines = refusal.lines().filter_map(|line| line.strip_prefix("  "));
    lines.filter(|line| line.starts_with("kubectl ") || line.starts_with('(')).collect()
}

/// Runs a command as a person does who pastes it, and then enters the token where it asks.
fn paste(cluster: &Cluster, command: &str, entered: Option<&str>) -> Result<()> {
    let said = cluster.run_program("bash", &["-c", command], entered)?;
    ensure!(said.succeeded, "{command}: {}", said.errors);
    ensure!(!format!("{said:?}").contains(TOKEN), "{command} shows the token");
    Ok(())
}

fn assert_moved(namespace: &Namespace<'_>) -> Result<()> {
    let upstream = namespace.get(Kind::UPSTREAM, "openai")?;
    assert_eq!(upstream.pointer("/spec/ai/openai/authToken"), Some(&json!({ "secretRef": { "name": "openai-openai" } })));
    let copy = upstream.pointer(COPY).and_then(Value::as_str).unwrap_or_default();
    assert!(!copy.contains(TOKEN), "the copy has the token");
    let key = namespace.cluster().kubectl(
        &["get", "secret", "openai-openai", "-n", namespace.name(), "-o", "go-template={{.data.Authorization | base64decode}}"],
        None,
    )?;
    assert_eq!(key, TOKEN);
    Ok(())
}

#[test]
fn the_commands_of_a_refusal_put_it_right_when_they_are_pasted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "guide")?;
    cluster.kubectl(&["label", "namespace", namespace.name(), ENFORCE], None)?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("upstream.yaml");
    std::fs::write(&file, INLINE.replace("  namespace: gloo-system\n", "").replace("$TOKEN", TOKEN))?;
    let refused = apply(&namespace, &file)?;
    ensure!(refused.contains("spec.ai.openai.authToken.inline: a token in the manifest; use secretRef"), "{refused}");
    ensure!(refused.contains("rotate it") && !refused.contains(TOKEN), "{refused}");
    ensure!(cluster.find(Kind::UPSTREAM, namespace.name(), "openai")?.is_none(), "it is there all the same");

    let commands = commands(&refused);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {refused}") };
    paste(&cluster, create, Some(&format!("{TOKEN}\n")))?;
    paste(&cluster, &patch.replace("FILE", &file.to_string_lossy()), None)?;
    assert_moved(&namespace)
}

/// Gives what `kubectl` says to a refusal.
fn apply(namespace: &Namespace<'_>, file: &Path) -> Result<String> {
    let file = file.to_string_lossy();
    let said = namespace.cluster().run_program("kubectl", &["apply", "-n", namespace.name(), "-f", &file], None)?;
    ensure!(!said.succeeded, "a protected namespace takes an inline token");
    Ok(said.errors)
}

/// An Upstream that refers to a Secret already is patched where it is.
#[test]
fn an_upstream_that_lives_is_told_how_to_stay_right() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "lives")?;
    cluster.kubectl(&["label", "namespace", namespace.name(), ENFORCE], None)?;
    let right = INLINE.replace("  namespace: gloo-system\n", "").replace("inline: \"$TOKEN\"", "secretRef: {name: before}");
    ensure!(right.contains("secretRef"), "the guide's manifest is another: {right}");
    namespace.apply(&right)?;
    let wrong = INLINE.replace("  namespace: gloo-system\n", "").replace("$TOKEN", TOKEN);
    let said = cluster.run_program("kubectl", &["apply", "-n", namespace.name(), "-f-"], Some(&wrong))?;
    ensure!(!said.succeeded, "a protected namespace takes an inline token");
    let commands = commands(&said.errors);
    let [create, patch] = commands.as_slice() else { anyhow::bail!("other commands than two: {}", said.errors) };
    ensure!(patch.starts_with("kubectl patch upstream openai"), "{patch}");
    paste(&cluster, create, Some(&format!("{TOKEN}\n")))?;
    paste(&cluster, patch, None)?;
    assert_moved(&namespace)
}

/// Nothing of the guide but the inline token is held up.
#[test]
fn the_guides_secret_section_passes_in_a_protected_namespace() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "secretref")?;
    cluster.kubectl(&["label", "namespace", namespace.name(), ENFORCE], None)?;
    let local = |manifest: &str| manifest.replace("gloo-system", namespace.name()).replace("$TOKEN", TOKEN);
    cluster.apply(&local(include_str!("../guide/secret.yaml")))?;
    cluster.apply(&local(include_str!("../guide/upstream-secret.yaml")))?;
    cluster.apply(&local(include_str!("../guide/upstream-passthrough.yaml")).replace("name: openai", "name: through"))?;
    wait_until("both are there", SOON, || {
        for name in ["openai", "through"] {
            namespace.get(Kind::UPSTREAM, name).context("refused")?;
        }
        Ok(())
    })
}

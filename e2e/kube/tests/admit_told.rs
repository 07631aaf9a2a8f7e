//! What is told of an object that is let in: warnings to whoever writes it, annotations to whoever reads the audit log. A trial leaves
//! nothing behind.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::upstream;
use keyward_e2e_kube::{AuditLog, Cluster, Deployed, Kind, Namespace, SOON, SYSTEM, Webhook, wait_until};
use serde_json::Value;

const FIELD: &str = "spec.ai.openai.authToken.inline";

#[test]
fn kubectl_prints_a_warning_for_a_token_that_an_open_namespace_takes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "warned")?;
    let manifest = upstream("openai", "{inline: sk-warned}", "");
    let said = cluster.run_program("kubectl", &["apply", "-n", namespace.name(), "-f-"], Some(&manifest))?;
    ensure!(said.succeeded, "{said:?}");
    let warning = format!("Warning: {FIELD}: a token in the manifest; use secretRef");
    ensure!(said.errors.lines().any(|line| line == warning), "{said:?}");
    ensure!(said.errors.contains("Warning: the last-applied copy has a credential"), "{said:?}");
    let by_secret = upstream("good", "{secretRef: {name: s}}", "");
    let said = cluster.run_program("kubectl", &["apply", "-n", namespace.name(), "-f-"], Some(&by_secret))?;
    ensure!(said.succeeded && said.errors.is_empty(), "{said:?}");
    Ok(())
}

/// Where the audit annotations say this of a namespace's objects.
fn is_noted(log: &AuditLog, namespace: &str, enforce: &str, violations: &str) -> Result<()> {
    let annotations = log.annotations(namespace)?;
    let says = |one: &Value, key: &str, value: &str| one[format!("upstreams.credentials.keyward.dev/{key}")] == value;
    let noted = |one: &Value| says(one, "enforce", enforce) && says(one, "violations", violations);
    ensure!(annotations.iter().any(noted), "{annotations:?}");
    Ok(())
}

#[test]
fn the_audit_log_notes_fields_and_reasons_of_what_is_let_in_and_of_what_is_not() -> Result<()> {
    let Some(log) = AuditLog::from_now()? else {
        eprintln!("the audit log of this cluster is elsewhere: nothing is tested");
        return Ok(());
    };
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "noted")?;
    let manifest = upstream("openai", "{inline: sk-noted}", "");
    let violations = format!("{FIELD}=InlineToken");
    cluster.kubectl(&["create", "--dry-run=server", "-n", namespace.name(), "-f-"], Some(&manifest))?;
    wait_until("the log has it", SOON, || is_noted(&log, namespace.name(), "open", &violations))?;
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    let refused = cluster.run_program("kubectl", &["create", "-n", namespace.name(), "-f-"], Some(&manifest))?;
    ensure!(!refused.succeeded, "{refused:?}");
    wait_until("the log has it", SOON, || is_noted(&log, namespace.name(), "protected", &violations))
}

/// The versions of all that the webhook may write.
fn versions(cluster: &Cluster) -> Result<[Value; 2]> {
    let configuration = cluster.get(Kind::VALIDATING_WEBHOOKS, "", "keyward-webhook")?;
    let authority = cluster.get(Kind::SECRET, SYSTEM, "keyward-webhook-ca")?;
    Ok([configuration, authority].map(|object| object["metadata"]["resourceVersion"].clone()))
}

#[test]
fn a_dry_run_is_answered_like_any_other_request_and_leaves_nothing_behind() -> Result<()> {
    // Alone: others may make the webhook write.
    let cluster = Cluster::alone()?;
    Webhook(&cluster).settled()?;
    let namespace = Namespace::create(&cluster, "dry")?;
    let before = versions(&cluster)?;
    let manifest = upstream("openai", "{inline: sk-dry}", "");
    let arguments = ["create", "--dry-run=server", "-n", namespace.name(), "-f-"];
    let said = cluster.run_program("kubectl", &arguments, Some(&manifest))?;
    ensure!(said.succeeded && said.errors.contains(&format!("Warning: {FIELD}")), "{said:?}");
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    let said = cluster.run_program("kubectl", &arguments, Some(&manifest))?;
    ensure!(!said.succeeded && said.errors.contains(FIELD), "{said:?}");
    ensure!(cluster.list(Kind::UPSTREAM, namespace.name(), "")?.is_empty(), "an Upstream was made");
    ensure!(namespace.events_about("openai")?.is_empty(), "an Event was made");
    assert_eq!(versions(&cluster)?, before);
    Ok(())
}

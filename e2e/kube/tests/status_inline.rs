//! The audit of what is there already: a condition, an Event and a metric, which follow the object and the labels of its namespace.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::upstream;
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, SOON, condition, is_current, says, wait_until};
use serde_json::json;

const TOKEN: &str = "sk-audited-canary";
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the metric says of the namespace, on each replica.
fn counts(namespace: &Namespace<'_>, level: &str, wanted: f64) -> Result<()> {
    let operator = Operator(namespace.cluster());
    let series = format!("keyward_inline_credentials{{kind=\"Upstream\",level=\"{level}\",namespace=\"{}\"}}", namespace.name());
    for replica in operator.replicas()? {
        let value = operator.metrics(&replica)?.value(&series);
        ensure!(value == wanted, "{series} is {value} on {}", replica.name);
    }
    Ok(())
}

fn is_told(namespace: &Namespace<'_>, place: &str, level: &str) -> Result<()> {
    let found = namespace.get(Kind::UPSTREAM, "openai")?;
    says(&found["status"], "InlineCredentials", "True", "InlineToken")?;
    let condition = condition(&found["status"], "InlineCredentials")?;
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(is_current(&found, condition) && message.starts_with(place) && message.contains(level), "{condition:#}");
    ensure!(!found["status"].to_string().contains(TOKEN), "the status has the token");
    Ok(())
}

#[test]
fn an_inline_token_is_told_of_until_object_and_copy_are_free_of_it() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "audited")?;
    namespace.apply(&upstream("openai", &format!("{{inline: {TOKEN}}}"), ""))?;
    let field = "spec.ai.openai.authToken.inline";
    wait_until("the condition says it", SOON, || is_told(&namespace, field, "allows it"))?;
    wait_until("an Event says it", SOON, || {
        let events = namespace.events_about("openai")?;
        ensure!(events.iter().any(|(reason, message)| reason == "InlineToken" && message.contains(field)), "{events:?}");
        ensure!(!format!("{events:?}").contains(TOKEN), "an Event has the token");
        Ok(())
    })?;
    // The token itself, and its copy.
    wait_until("the metric says it", SOON, || counts(&namespace, "open", 2.0))?;

    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    wait_until("all say what the label means", SOON, || {
        is_told(&namespace, field, "would refuse it")?;
        counts(&namespace, "protected", 2.0)?;
        counts(&namespace, "open", 0.0)
    })?;

    let reference = json!({ "spec": { "ai": { "openai": { "authToken": { "inline": null, "secretRef": { "name": "s" } } } } } });
    cluster.patch(Kind::UPSTREAM, namespace.name(), "openai", &reference)?;
    wait_until("the copy is told of", SOON, || is_told(&namespace, &format!("metadata.annotations[{COPY}]"), "would refuse it"))?;
    cluster.kubectl(&["annotate", "upstream", "openai", "-n", namespace.name(), &format!("{COPY}-")], None)?;
    wait_until("nothing is told of", SOON, || {
        let status = namespace.get(Kind::UPSTREAM, "openai")?["status"].clone();
        ensure!(condition(&status, "InlineCredentials").is_err(), "{status:#}");
        counts(&namespace, "protected", 0.0)
    })
}

#[test]
fn what_goes_is_counted_no_more() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "counted")?;
    let object = upstream("openai", &format!("{{inline: {TOKEN}}}"), "");
    cluster.kubectl(&["create", "-n", namespace.name(), "-f-"], Some(&object))?;
    wait_until("it is counted", SOON, || counts(&namespace, "open", 1.0))?;
    namespace.delete(Kind::UPSTREAM, "openai")?;
    wait_until("it is counted no more", SOON, || counts(&namespace, "open", 0.0))
}

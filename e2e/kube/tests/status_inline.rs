//! The audit of what is there already: a condition, an Event and a metric, which follow the object and the labels of its namespace.

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, SOON, condition, is_current, says, wait_until};
use serde_json::json;

const TOKEN: &str = "sk-audited-canary";
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the metric says of the namespace, on each replica.
fn counts(namespace: &Namespace<'_>, kind: Kind, level: &str, wanted: f64) -> Result<()> {
    let operator = Operator(namespace.cluster());
    let labels = format!("kind=\"{}\",level=\"{level}\",namespace=\"{}\"", kind.name(), namespace.name());
    let series = format!("keyward_inline_credentials{{{labels}}}");
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
    wait_until("the metric says it", SOON, || counts(&namespace, Kind::UPSTREAM, "open", 2.0))?;

    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    wait_until("all say what the label means", SOON, || {
        is_told(&namespace, field, "would refuse it")?;
        counts(&namespace, Kind::UPSTREAM, "protected", 2.0)?;
        counts(&namespace, Kind::UPSTREAM, "open", 0.0)
    })?;

    let reference = json!({ "spec": { "ai": { "openai": { "authToken": { "inline": null, "secretRef": { "name": "s" } } } } } });
    cluster.patch(Kind::UPSTREAM, namespace.name(), "openai", &reference)?;
    wait_until("the copy is told of", SOON, || is_told(&namespace, &format!("metadata.annotations[{COPY}]"), "would refuse it"))?;
    cluster.kubectl(&["annotate", "upstream", "openai", "-n", namespace.name(), &format!("{COPY}-")], None)?;
    wait_until("nothing is told of", SOON, || {
        let status = namespace.get(Kind::UPSTREAM, "openai")?["status"].clone();
        ensure!(condition(&status, "InlineCredentials").is_err(), "{status:#}");
        counts(&namespace, Kind::UPSTREAM, "protected", 0.0)
    })
}

#[test]
fn what_goes_is_counted_no_more() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "counted")?;
    let object = upstream("openai", &format!("{{inline: {TOKEN}}}"), "");
    cluster.kubectl(&["create", "-n", namespace.name(), "-f-"], Some(&object))?;
    wait_until("it is counted", SOON, || counts(&namespace, Kind::UPSTREAM, "open", 1.0))?;
    namespace.delete(Kind::UPSTREAM, "openai")?;
    wait_until("it is counted no more", SOON, || counts(&namespace, Kind::UPSTREAM, "open", 0.0))
}

/// A route with a literal credential, on the Gateway of that name. Routes of the two kinds share no host: one of them would be in conflict.
fn route(kind: Kind, name: &str, gateway: &str) -> String {
    let kind = kind.name();
    let header =
        format!("{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: Authorization, value: Bearer {TOKEN}}}]}}}}");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  hostnames: [{}.example.com]
  rules:
  - filters: [{header}]
    backendRefs: [{{name: nobody, port: 80}}]
---
",
        kind.to_lowercase()
    )
}

/// Whether an Event about an object of this name tells of the header.
fn is_told_by_an_event(namespace: &Namespace<'_>, name: &str) -> Result<bool> {
    let events = namespace.events_about(name)?;
    ensure!(!format!("{events:?}").contains(TOKEN), "an Event has the token");
    let field = "spec.rules[0].filters[0].requestHeaderModifier.set[0].value: ";
    Ok(events.iter().any(|(reason, message)| reason == "CredentialHeader" && message.starts_with(field)))
}

#[test]
fn a_credential_in_a_route_is_counted_and_on_a_gateway_of_ours_an_event_tells_of_it() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "audited-routes")?;
    let kinds = [(Kind::HTTP_ROUTE, "http"), (Kind::GRPC_ROUTE, "grpc")];
    let routes = kinds.map(|(kind, name)| route(kind, name, "gw") + &route(kind, &format!("anothers-{name}"), "elsewhere"));
    let gateway = gateway_with("gw", "[{name: http, protocol: HTTP, port: 8080}]", None);
    // Without a copy.
    cluster.kubectl(&["create", "-n", namespace.name(), "-f-"], Some(&(gateway + &routes.concat())))?;
    for (kind, name) in kinds {
        wait_until("both routes are counted", SOON, || counts(&namespace, kind, "open", 2.0))?;
        wait_until("an Event says it", SOON, || {
            ensure!(is_told_by_an_event(&namespace, name)?, "{:?}", namespace.events_about(name)?);
            Ok(())
        })?;
    }
    cluster.kubectl(&["label", "namespace", namespace.name(), "credentials.keyward.dev/enforce=protected"], None)?;
    for (kind, name) in kinds {
        wait_until("the metric says what the label means", SOON, || {
            counts(&namespace, kind, "protected", 2.0)?;
            counts(&namespace, kind, "open", 0.0)
        })?;
        ensure!(!is_told_by_an_event(&namespace, &format!("anothers-{name}"))?, "a route of somebody else is told of");
        namespace.delete(kind, name)?;
        wait_until("what is gone is counted no more", SOON, || counts(&namespace, kind, "protected", 1.0))?;
    }
    Ok(())
}

//! What the statuses of Upstreams say, to users of Gateway API and to users of Gloo.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, gateway_with, route, secret, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, Provider, SOON, SYSTEM, condition, holds_for, is_current, says, wait_until};
use serde_json::Value;

const KEY: &str = "sk-late-secret";

/// Gloo's own report, by the namespace of who reports.
fn state(upstream: &Value) -> &Value {
    &upstream["status"]["statuses"][SYSTEM]["state"]
}

fn parent(route: &Value) -> &Value {
    &route["status"]["parents"][0]
}

#[test]
fn a_missing_secret_is_seen_on_the_upstream_and_the_route_and_as_an_event_until_it_is_there() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "secret")?;
    let provider = Provider::start(&namespace, &[KEY])?;
    let by_secret = upstream("openai", "{secretRef: {name: late}}", &provider.custom_host());
    namespace.apply(&[gateway("gw"), by_secret, route("openai", "gw", "openai")].concat())?;
    let address = namespace.address("gw")?;
    wait_until("the Upstream and the route say it", SOON, || {
        let found = namespace.get(Kind::UPSTREAM, "openai")?;
        says(&found["status"], "Accepted", "True", "Accepted")?;
        says(&found["status"], "ResolvedRefs", "False", "SecretNotFound")?;
        ensure!(state(&found) == "Warning", "{:#}", found["status"]);
        let route = namespace.get(Kind::HTTP_ROUTE, "openai")?;
        says(parent(&route), "Accepted", "True", "Accepted")?;
        says(parent(&route), "ResolvedRefs", "False", "InvalidCredential")
    })?;
    wait_until("an Event says it", SOON, || {
        let events = namespace.events_about("openai")?;
        let said = events.iter().any(|(reason, message)| reason == "SecretNotFound" && message.contains("late"));
        ensure!(said, "{events:?}");
        Ok(())
    })?;
    let refused = send(address, &Request::chat("/openai"))?;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.openai_error().is_ok() && provider.journal()?.is_empty(), "the provider was called without a credential");

    namespace.apply(&secret("late", KEY))?;
    wait_until("all is well", SOON, || {
        let answer = send(address, &Request::chat("/openai"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let found = namespace.get(Kind::UPSTREAM, "openai")?;
        says(&found["status"], "ResolvedRefs", "True", "ResolvedRefs")?;
        ensure!(state(&found) == "Accepted", "{:#}", found["status"]);
        says(parent(&namespace.get(Kind::HTTP_ROUTE, "openai")?), "ResolvedRefs", "True", "ResolvedRefs")
    })
}

#[test]
fn a_bad_secret_says_why() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "bad")?;
    namespace.apply(&[upstream("empty", "{secretRef: {name: empty}}", ""), secret("empty", " ")].concat())?;
    wait_until("it says so", SOON, || {
        let empty = namespace.get(Kind::UPSTREAM, "empty")?;
        says(&empty["status"], "ResolvedRefs", "False", "InvalidSecret")?;
        ensure!(is_current(&empty, condition(&empty["status"], "ResolvedRefs")?), "{:#}", empty["status"]);
        ensure!(state(&empty) == "Warning", "{:#}", empty["status"]);
        Ok(())
    })
}

#[test]
fn an_upstream_of_another_type_is_gloos_and_only_a_route_to_it_says_that_it_is_not_served() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "static")?;
    let not_ai = "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: not-ai}
spec: {static: {hosts: [{addr: example.com, port: 80}]}}
---
";
    let gateway = gateway_with("gw", "[{name: http, protocol: HTTP, port: 8080}]", None);
    namespace.apply(&[gateway, not_ai.to_owned(), route("to-it", "gw", "not-ai")].concat())?;
    wait_until("the route says it", SOON, || {
        let route = namespace.get(Kind::HTTP_ROUTE, "to-it")?;
        says(parent(&route), "Accepted", "True", "Accepted")?;
        says(parent(&route), "ResolvedRefs", "False", "UnsupportedUpstreamType")
    })?;
    holds_for("nothing is said of the Upstream", Duration::from_secs(3), || {
        let found = namespace.get(Kind::UPSTREAM, "not-ai")?;
        ensure!(found["status"].get("conditions").is_none() && state(&found).is_null(), "{:#}", found["status"]);
        let events = namespace.events_about("not-ai")?;
        ensure!(events.is_empty(), "{events:?}");
        Ok(())
    })
}

#[test]
fn leaves_what_another_gloo_says_of_an_upstream_alone() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "gloo")?;
    namespace.apply(&upstream("openai", "{inline: sk-a}", ""))?;
    wait_until("Keyward has reported", SOON, || {
        let found = namespace.get(Kind::UPSTREAM, "openai")?;
        ensure!(state(&found) == "Accepted", "{:#}", found["status"]);
        Ok(())
    })?;
    let theirs = serde_json::json!({ "state": "Pending", "reportedBy": "gloo" });
    let patch = serde_json::json!({ "status": { "statuses": { "gloo-elsewhere": theirs } } });
    cluster.patch_status(Kind::UPSTREAM, namespace.name(), "openai", &patch)?;
    for (token, expected) in [("{secretRef: {name: nowhere}}", "Warning"), ("{inline: sk-b}", "Accepted")] {
        namespace.apply(&upstream("openai", token, ""))?;
        wait_until("only our report changes", SOON, || {
            let found = namespace.get(Kind::UPSTREAM, "openai")?;
            ensure!(state(&found) == expected, "{:#}", found["status"]);
            ensure!(found["status"]["statuses"]["gloo-elsewhere"] == theirs, "{:#}", found["status"]);
            let own = &found["status"]["statuses"]["keyward-system"];
            ensure!(own.get("reason").is_some() == (expected == "Warning"), "an old reason stays: {own:#}");
            Ok(())
        })?;
    }
    Ok(())
}

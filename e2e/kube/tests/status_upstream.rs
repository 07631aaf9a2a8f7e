//! What the statuses of Upstreams say, to users of Gateway API and to users of Gloo.

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, route, secret, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, Provider, SOON, SYSTEM, condition, is_current, says, wait_until};
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
fn a_bad_secret_and_an_upstream_that_is_not_served_say_why() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "bad")?;
    let not_ai = "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: not-ai}
spec: {static: {hosts: [{addr: example.com, port: 80}]}}
---
";
    namespace.apply(&[upstream("empty", "{secretRef: {name: empty}}", ""), secret("empty", " "), not_ai.to_owned()].concat())?;
    wait_until("both say it", SOON, || {
        let empty = namespace.get(Kind::UPSTREAM, "empty")?;
        says(&empty["status"], "ResolvedRefs", "False", "InvalidSecret")?;
        ensure!(is_current(&empty, condition(&empty["status"], "ResolvedRefs")?), "{:#}", empty["status"]);
        ensure!(state(&empty) == "Warning", "{:#}", empty["status"]);
        let not_ai = namespace.get(Kind::UPSTREAM, "not-ai")?;
        says(&not_ai["status"], "Accepted", "False", "UnsupportedUpstreamType")?;
        ensure!(state(&not_ai) == "Rejected", "{:#}", not_ai["status"]);
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
    let nothing = "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: openai}\nspec: {}\n";
    namespace.apply(nothing)?;
    wait_until("only our report changes", SOON, || {
        let found = namespace.get(Kind::UPSTREAM, "openai")?;
        ensure!(state(&found) == "Rejected", "{:#}", found["status"]);
        ensure!(found["status"]["statuses"]["gloo-elsewhere"] == theirs, "{:#}", found["status"]);
        Ok(())
    })
}

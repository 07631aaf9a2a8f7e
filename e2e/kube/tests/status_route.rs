//! What the statuses of routes say, and what their requests get.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, gateway_with, route, route_with, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, Provider, SOON, condition, is_current, says, wait_until};
use serde_json::{Value, json};

const US: &str = "keyward.dev/gateway-controller";

fn parents<'v>(route: &'v Value, controller: &str) -> Vec<&'v Value> {
    let parents = route["status"]["parents"].as_array().into_iter().flatten();
    parents.filter(|parent| parent["controllerName"] == controller).collect()
}

/// Our one entry, about the route as it is now.
fn ours(route: &Value) -> Result<&Value> {
    let parents = parents(route, US);
    let [parent] = parents[..] else { anyhow::bail!("expected one entry of ours: {:#}", route["status"]) };
    ensure!(is_current(route, condition(parent, "Accepted")?), "{parent:#}");
    Ok(parent)
}

#[test]
fn leaves_what_another_controller_says_of_a_route_alone() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "foreign")?;
    let listeners = "[{name: http, protocol: HTTP, port: 8080}]";
    let manifests = [gateway_with("gw", listeners, None), upstream("openai", "{inline: sk-a}", ""), route("shared", "gw", "openai")];
    namespace.apply(&manifests.concat())?;
    let get = || namespace.get(Kind::HTTP_ROUTE, "shared");
    let foreign = json!({
        "parentRef": { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs" },
        "controllerName": "example.com/other",
        "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Pending", "message": "soon", "observedGeneration": 1,
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        }],
    });
    wait_until("the route is accepted", SOON, || says(ours(&get()?)?, "Accepted", "True", "Accepted"))?;

    // The other controller takes the whole list for itself: ours comes back, and its stays.
    cluster.patch_status(Kind::HTTP_ROUTE, namespace.name(), "shared", &json!({ "status": { "parents": [foreign] } }))?;
    let both = || {
        let route = get()?;
        says(ours(&route)?, "Accepted", "True", "Accepted")?;
        ensure!(parents(&route, "example.com/other") == [&foreign], "{:#}", route["status"]);
        Ok(())
    };
    wait_until("both entries are there", SOON, both)?;
    let change = json!({ "spec": { "hostnames": ["changed.example.com"] } });
    cluster.patch(Kind::HTTP_ROUTE, namespace.name(), "shared", &change)?;
    wait_until("the change is said in our entry alone", SOON, both)?;
    namespace.delete(Kind::GATEWAY, "gw")?;
    wait_until("an entry of ours goes with its Gateway", SOON, || {
        let route = get()?;
        ensure!(parents(&route, "example.com/other") == [&foreign], "{:#}", route["status"]);
        Ok(())
    })
}

/// A rule for the path `/NTH`, with these fields besides.
fn rule(nth: usize, fields: &str) -> String {
    format!("{{matches: [{{path: {{type: PathPrefix, value: /{nth}}}}}], {fields}}}")
}

fn matching(condition: &str) -> String {
    format!("{{matches: [{condition}], {GOOD}}}")
}

fn changing(nth: usize, filter: &str) -> String {
    rule(nth, &format!("filters: [{filter}], {GOOD}"))
}

const GOOD: &str = "backendRefs: [{name: good, group: gloo.solo.io, kind: Upstream}]";

/// Sixteen mistakes that the API server lets pass.
fn sixteen_mistakes() -> Vec<String> {
    let expression = |name: &str| format!("{{type: RegularExpression, name: {name}, value: \"(\"}}");
    vec![
        rule(0, "backendRefs: [{name: missing, port: 80}]"),
        rule(1, "backendRefs: [{name: there, port: 81}]"),
        rule(2, "backendRefs: [{name: a, group: example.com, kind: Thing}]"),
        rule(3, "backendRefs: [{name: kube-dns, namespace: kube-system, port: 53}]"),
        rule(4, "backendRefs: [{name: missing, group: gloo.solo.io, kind: Upstream}]"),
        rule(5, "backendRefs: [{name: not-ai, group: gloo.solo.io, kind: Upstream}]"),
        rule(6, "backendRefs: [{name: no-secret, group: gloo.solo.io, kind: Upstream}]"),
        rule(7, "backendRefs: [{name: external, port: 80}]"),
        matching("{path: {type: RegularExpression, value: \"/8/(\"}}"),
        matching(&format!("{{path: {{value: /9}}, headers: [{}]}}", expression("x-a"))),
        matching(&format!("{{path: {{value: /10}}, queryParams: [{}]}}", expression("q"))),
        matching("{path: {value: /11}, headers: [{type: RegularExpression, name: authorization, value: \"Bearer .*\"}]}"),
        changing(12, "{type: ExtensionRef, extensionRef: {group: example.com, kind: Filter, name: a}}"),
        changing(13, "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Content-Length, value: \"0\"}]}}"),
        changing(14, "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: \"a\\nb\"}]}}"),
        changing(15, "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Transfer-Encoding]}}"),
    ]
}

/// What the mistakes are about.
const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: {name: there}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}
---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {name: not-ai}
spec: {static: {hosts: [{addr: example.com, port: 80}]}}
---
";

/// Every rule refuses what is meant for it, and none lets it fall to a wider rule.
fn assert_all_refuse(address: SocketAddr) -> Result<()> {
    for nth in 0..16 {
        let request = Request::chat(&format!("/{nth}?q=1")).header("x-a", "a").header("authorization", "Bearer sk-client");
        let answer = send(address, &request)?;
        ensure!(matches!(answer.status, 500 | 503), "/{nth}: {} {}", answer.status, answer.text());
    }
    Ok(())
}

#[test]
fn refuses_each_of_sixteen_broken_rules_for_its_own_reason_and_serves_the_route_beside_them() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "sixteen")?;
    let provider = Provider::start(&namespace, &["sk-good"])?;
    let host = provider.custom_host();
    let manifests = [
        gateway("gw"),
        SERVICES.to_owned(),
        upstream("good", "{inline: sk-good}", &host),
        upstream("no-secret", "{secretRef: {name: missing}}", &host),
        route_with("broken", "gw", &sixteen_mistakes()),
        route("sound", "gw", "good"),
        // What is refused must not fall to this one.
        route_with("wide", "gw", &[format!("{{{GOOD}}}")]),
    ];
    namespace.apply(&manifests.concat())?;
    let address = namespace.address("gw")?;
    wait_until("the sound route is served", SOON, || {
        let answer = send(address, &Request::chat("/sound"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        assert_all_refuse(address)
    })?;
    let route = namespace.get(Kind::HTTP_ROUTE, "broken")?;
    let parent = ours(&route)?;
    says(parent, "Accepted", "True", "Accepted")?;
    says(parent, "PartiallyInvalid", "True", "UnsupportedValue")?;
    let said = condition(parent, "PartiallyInvalid")?["message"].as_str().context("no message")?;
    assert!(said.starts_with("Dropped Rule(s) 8, 9, 10, 11, 12, 13, 14, 15"), "{said}");
    let resolved = condition(parent, "ResolvedRefs")?;
    assert_eq!(resolved["status"], "False");
    assert!(resolved["message"].as_str().is_some_and(|said| said.lines().count() > 2), "{resolved:#}");
    let events = namespace.events_about("broken")?;
    assert!(events.iter().any(|(_, said)| said.contains("spec.rules[")), "{events:?}");
    Ok(())
}

//! An autoscaler takes over the number of proxies while clients are at work, and gives it back. The cluster needs no metrics server: an
//! autoscaler that cannot measure leaves the number as it is, and the test plays its part.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::{gateway_with, parameters, route, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, POD, Provider, SOON, Traffic, holds_for, wait_until};
use serde_json::Value;

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";
const DEPLOYMENT: &str = "gw-keyward";

/// How the proxies are run from now on.
fn run(namespace: &Namespace<'_>, number: &str) -> Result<()> {
    namespace.apply(&parameters("scaled", &format!("{{{number}, trustedCAs: [{{name: provider-ca}}]}}"))).map(drop)
}

fn has_replicas(namespace: &Namespace<'_>, number: u64) -> Result<()> {
    let deployment = namespace.get(Kind::DEPLOYMENT, DEPLOYMENT)?;
    ensure!(deployment["spec"]["replicas"] == number, "{}", deployment["spec"]["replicas"]);
    Ok(())
}

/// Who says the number, as the API server knows it.
fn owners(namespace: &Namespace<'_>) -> Result<Vec<String>> {
    let deployment = namespace.get(Kind::DEPLOYMENT, DEPLOYMENT)?;
    let entries = deployment.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let owning = entries.filter(|entry| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some());
    Ok(owning.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect())
}

#[test]
fn an_autoscaler_takes_over_the_number_of_proxies_and_no_proxy_ends_for_that() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "scaled")?;
    let provider = Provider::start(&namespace, &["sk-scaled"])?;
    run(&namespace, "replicas: 2")?;
    let manifests = [
        gateway_with("gw", LISTENERS, Some("scaled")),
        upstream("chat", "{inline: sk-scaled}", &provider.custom_host()),
        route("chat", "gw", "chat"),
    ];
    namespace.apply(&manifests.concat())?;
    let address = namespace.address("gw")?;
    let before = namespace.proxies("gw", 2)?;
    wait_until("the route is served", POD, || {
        let answer = keyward_e2e::send(address, &Request::chat("/chat"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    })?;

    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    run(&namespace, "autoscaling: {minReplicas: 1, maxReplicas: 3}")?;
    wait_until("the autoscaler is there, and the number is not the operator's", SOON, || {
        namespace.get(Kind::HORIZONTAL_POD_AUTOSCALER, DEPLOYMENT)?;
        let owners = owners(&namespace)?;
        ensure!(!owners.contains(&"keyward-operator".to_owned()), "{owners:?}");
        Ok(())
    })?;
    holds_for("the number stays", Duration::from_secs(5), || has_replicas(&namespace, 2))?;
    assert_eq!(namespace.proxies("gw", 2)?, before, "a proxy ended");

    // As an autoscaler does it.
    cluster.kubectl(&["scale", "-n", namespace.name(), "deployment/gw-keyward", "--replicas=3"], None)?;
    holds_for("nobody takes the number back", Duration::from_secs(5), || has_replicas(&namespace, 3))?;
    namespace.proxies("gw", 3)?;

    run(&namespace, "replicas: 2")?;
    wait_until("the autoscaler is gone and the number is what is said", SOON, || {
        ensure!(cluster.find(Kind::HORIZONTAL_POD_AUTOSCALER, namespace.name(), DEPLOYMENT)?.is_none(), "it is there");
        has_replicas(&namespace, 2)
    })?;
    namespace.proxies("gw", 2)?;
    traffic.goes_on(50)?;
    traffic.stop().map(drop)
}

//! `Programmed` is a fact: the test plays the part of a proxy that is ready and has not acknowledged, then refuses, then acknowledges.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, parameters};
use keyward_e2e_kube::{AUDIENCE, Channel, Cluster, Deployed, Kind, Namespace, Operator, SOON, holds_for, resources, says, wait_until};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

/// In place of the proxy: a program that answers probes, and asks nobody for configuration.
const STAND_IN: &str = "{podTemplate: {spec: {containers: [{
  name: proxy, image: 'ghcr.io/keyward/mock-llm:0.1.0',
  args: ['--listen=0.0.0.0:8443', '--admin=0.0.0.0:15000', '--key=none'],
  readinessProbe: {httpGet: {path: /journal}}, livenessProbe: {httpGet: {path: /journal}}}]}}}";

fn not_programmed(namespace: &Namespace<'_>) -> Result<()> {
    let status = namespace.get(Kind::GATEWAY, "gw")?["status"].clone();
    says(&status, "Accepted", "True", "Accepted")?;
    says(&status, "Programmed", "False", "Pending")
}

#[test]
fn a_gateway_is_programmed_only_once_its_ready_proxy_has_acknowledged_and_not_when_it_refuses() -> Result<()> {
    let cluster = Cluster::shared()?;
    let operator = Operator(&cluster);
    let namespace = Namespace::create(&cluster, "nack")?;
    namespace.apply(&[parameters("stand-in", STAND_IN), gateway_with("gw", LISTENERS, Some("stand-in"))].concat())?;
    let pod = namespace.proxies("gw", 1)?.remove(0).name;
    wait_until("the address is there, and the Gateway waits for its proxy", SOON, || not_programmed(&namespace))?;
    holds_for("nothing is programmed that nobody acknowledged", Duration::from_secs(3), || not_programmed(&namespace))?;

    let token = cluster.token(&namespace, "gw-keyward", AUDIENCE, Some(&pod))?;
    let nacks = operator.sum("keyward_operator_xds_nacks_total")?;
    let mut refuses = Channel::open(&namespace, "gw-keyward", Some(&token))??;
    let answer = refuses.response()?;
    ensure!(resources(&answer).keys().any(|name| name.starts_with("listener/")), "{:?}", resources(&answer).keys());
    refuses.nack(&answer, "this proxy refuses for a test")?;
    wait_until("the refusal is counted", SOON, || {
        let now = operator.sum("keyward_operator_xds_nacks_total")?;
        ensure!(now > nacks, "{now}");
        Ok(())
    })?;
    holds_for("what was refused is not programmed", Duration::from_secs(3), || not_programmed(&namespace))?;
    assert!(operator.logs()?.contains("this proxy refuses for a test"), "the reason is not in the log");
    drop(refuses);

    let mut accepts = Channel::open(&namespace, "gw-keyward", Some(&token))??;
    let answer = accepts.response()?;
    accepts.ack(&answer)?;
    wait_until("what was acknowledged is programmed", SOON, || {
        says(&namespace.get(Kind::GATEWAY, "gw")?["status"], "Programmed", "True", "Programmed")
    })
}

//! ListenerSets come and go while clients are at work.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use keyward_e2e::{Echo, Request, send};
use keyward_e2e_kube::{Cluster, Kind, Namespace, PORT, SOON, Speaks, Traffic, wait_until};

const ROUNDS: u32 = 20;
/// A port that only the ListenerSet opens.
const OF_SET: u16 = PORT + 1;
const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: keyward
  allowedListeners: {namespaces: {from: All}}
  listeners: [{name: http, protocol: HTTP, port: 8080, hostname: own.test}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
---
";

/// A set with a listener on the Gateway's port, and one on a port of its own.
fn set(gateway_namespace: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {{name: set}}
spec:
  parentRef: {{name: gw, namespace: {gateway_namespace}}}
  listeners:
  - {{name: beside, protocol: HTTP, port: {PORT}, hostname: set.test}}
  - {{name: alone, protocol: HTTP, port: {OF_SET}, hostname: set.test}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: set}}
spec:
  parentRefs: [{{group: gateway.networking.k8s.io, kind: ListenerSet, name: set}}]
  rules: [{{backendRefs: [{{name: backend, port: 80}}]}}]
---
"
    )
}

fn to(host: &str) -> Request {
    Request::get("/").header("host", host)
}

fn answers(address: SocketAddr, host: &str, status: u16) -> Result<()> {
    wait_until(&format!("{address} answers {status} for {host}"), SOON, || {
        let answer = send(address, &to(host))?;
        ensure!(answer.status == status, "{} {}", answer.status, answer.text());
        Ok(())
    })
}

/// The set comes, serves on both of its ports, and goes.
fn round(team: &Namespace<'_>, set: &str, address: SocketAddr) -> Result<()> {
    team.apply(set)?;
    answers(address, "set.test", 200)?;
    answers(SocketAddr::new(address.ip(), OF_SET), "set.test", 200)?;
    team.delete(Kind::LISTENER_SET, "set")?;
    team.delete(Kind::HTTP_ROUTE, "set")?;
    answers(address, "set.test", 404)
}

#[test]
fn listener_sets_that_come_and_go_disturb_nobody() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "sets")?;
    let team = Namespace::create(&cluster, "sets-team")?;
    let echo = Echo::start_on(cluster.node_address()?, "backend")?;
    let service = Speaks::Tcp.service("backend", echo.addr());
    namespace.apply(&[GATEWAY, &service].concat())?;
    team.apply(&service)?;
    let address = namespace.address("gw")?;
    answers(address, "own.test", 200)?;
    let traffic = Traffic::start(address, &to("own.test"))?;
    let set = set(namespace.name());
    for nth in 0..ROUNDS {
        round(&team, &set, address).map_err(|error| error.context(format!("round {nth}")))?;
        traffic.goes_on(10)?;
    }
    traffic.stop()?;
    Ok(())
}

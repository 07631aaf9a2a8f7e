//! A route's backend in another namespace, whose owner grants it and takes that back.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use keyward_e2e::{Echo, Request, send};
use keyward_e2e_kube::manifests::{gateway_with, route_with};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, Speaks, wait_until};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

fn grant(routes: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: routes}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {routes}}}]
  to: [{{group: \"\", kind: Service, name: backend}}]
---
"
    )
}

fn answers(address: SocketAddr, status: u16) -> Result<()> {
    wait_until(&format!("the answer is {status}"), SOON, || {
        let answer = send(address, &Request::get("/"))?;
        ensure!(answer.status == status, "{} {}", answer.status, answer.text());
        Ok(())
    })
}

#[test]
fn a_route_across_namespaces_serves_only_while_it_is_granted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let routes = Namespace::create(&cluster, "grants")?;
    let owner = Namespace::create(&cluster, "grants-owner")?;
    let echo = Echo::start_on(cluster.node_address()?, "backend")?;
    owner.apply(&Speaks::Tcp.service("backend", echo.addr()))?;
    let rule = format!("{{backendRefs: [{{name: backend, namespace: {}, port: 80}}]}}", owner.name());
    routes.apply(&(gateway_with("gw", LISTENERS, None) + &route_with("across", "gw", &[rule])))?;
    let (address, grant) = (routes.address("gw")?, grant(routes.name()));
    answers(address, 500)?;
    for _ in 0..2 {
        owner.apply(&grant)?;
        answers(address, 200)?;
        owner.delete(Kind::REFERENCE_GRANT, "routes")?;
        answers(address, 500)?;
        let before = echo.requests();
        answers(address, 500)?;
        assert_eq!(echo.requests(), before, "a request came to a backend that is not granted");
    }
    owner.apply(&grant)?;
    answers(address, 200)
}

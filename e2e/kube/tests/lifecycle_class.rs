//! A GatewayClass is deleted while a Gateway uses it: nothing hangs, what runs goes on, and the Gateway no longer says what nobody vouches for.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::gateway_with;
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, holds_for, says, wait_until};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

/// A GatewayClass of Keyward's; it is deleted when this is dropped.
struct Class<'c> {
    cluster: &'c Cluster,
    name: String,
}

impl<'c> Class<'c> {
    fn create(cluster: &'c Cluster) -> Result<Self> {
        let class = Self { cluster, name: format!("goes-{:08x}", fastrand::u32(..)) };
        class.apply()?;
        Ok(class)
    }

    fn apply(&self) -> Result<()> {
        let manifest = format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {}}}
spec: {{controllerName: keyward.dev/gateway-controller}}
",
            self.name
        );
        self.cluster.apply(&manifest).map(drop)
    }
}

impl Drop for Class<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.delete(Kind::GATEWAY_CLASS, "", &self.name) {
            eprintln!("GatewayClass {} stays behind: {error:#}", self.name);
        }
    }
}

#[test]
fn a_class_in_use_can_be_deleted_and_its_gateway_says_so_and_goes_on() -> Result<()> {
    let cluster = Cluster::shared()?;
    let class = Class::create(&cluster)?;
    let namespace = Namespace::create(&cluster, "class")?;
    let own = format!("gatewayClassName: {}", class.name);
    namespace.apply(&gateway_with("gw", LISTENERS, None).replace("gatewayClassName: keyward", &own))?;
    let address = namespace.address("gw")?;
    let answers = || -> Result<()> {
        let answer = send(address, &Request::get("/"))?;
        ensure!(answer.status == 404, "{} {}", answer.status, answer.text());
        Ok(())
    };
    wait_until("its proxy answers", SOON, answers)?;
    let proxies = namespace.proxies("gw", 1)?;

    cluster.kubectl(&["delete", "gatewayclass", &class.name, "--timeout=10s"], None)?;
    wait_until("the Gateway says that it is nobody's", SOON, || {
        let status = namespace.get(Kind::GATEWAY, "gw")?["status"].clone();
        says(&status, "Accepted", "Unknown", "Pending")?;
        says(&status, "Programmed", "Unknown", "Pending")?;
        ensure!(status["addresses"][0]["value"] == address.ip().to_string(), "{status:#}");
        Ok(())
    })?;
    holds_for("what runs goes on", Duration::from_secs(3), || {
        answers()?;
        let now = namespace.proxies("gw", 1)?;
        ensure!(now == proxies, "{proxies:?} became {now:?}");
        Ok(())
    })?;

    class.apply()?;
    ensure!(namespace.address("gw")? == address, "it has another address");
    ensure!(namespace.proxies("gw", 1)? == proxies, "it has another proxy");
    answers()
}

//! Proxies come and go while clients are at work.

use anyhow::Result;
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::{gateway_with, parameters, route, upstream};
use keyward_e2e_kube::{Cluster, Namespace, Provider, Traffic, is_served};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

#[test]
fn loses_no_request_while_a_proxy_is_deleted_and_while_all_are_replaced() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "rolling")?;
    let provider = Provider::start(&namespace, &["sk-rolling"])?;
    let two = "{replicas: 2, trustedCAs: [{name: provider-ca}]}";
    let manifests = [
        parameters("two", two),
        gateway_with("gw", LISTENERS, Some("two")),
        upstream("chat", "{inline: sk-rolling}", &provider.custom_host()),
        route("chat", "gw", "chat"),
    ];
    namespace.apply(&manifests.concat())?;
    let address = namespace.address("gw")?;
    let old = namespace.proxies("gw", 2)?;
    is_served(address, "chat")?;

    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    cluster.kubectl(&["delete", "pod", "-n", namespace.name(), &old[0].name], None)?;
    let second = namespace.proxies("gw", 2)?;
    assert!(!second.contains(&old[0]), "{second:?}");
    traffic.goes_on(50)?;

    let deployment = "deployment/gw-keyward";
    cluster.kubectl(&["rollout", "restart", "-n", namespace.name(), deployment], None)?;
    cluster.kubectl(&["rollout", "status", "-n", namespace.name(), deployment, "--timeout=120s"], None)?;
    let third = namespace.proxies("gw", 2)?;
    assert!(third.iter().all(|pod| !second.contains(pod)), "{third:?}");
    traffic.goes_on(50)?;
    let answered = traffic.stop()?;
    assert!(answered > 200, "too few requests to tell anything: {answered}");
    Ok(())
}

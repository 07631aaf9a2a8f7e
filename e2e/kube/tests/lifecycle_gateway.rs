//! A namespace is deleted while clients are at work, in it and elsewhere.

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, route, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, Operator, POD, Provider, SOON, Traffic, wait_until};

fn served<'c>(cluster: &'c Cluster, prefix: &str) -> Result<(Namespace<'c>, Provider, std::net::SocketAddr)> {
    let namespace = Namespace::create(cluster, prefix)?;
    let provider = Provider::start(&namespace, &["sk-doomed"])?;
    let chat = upstream("chat", "{inline: sk-doomed}", &provider.custom_host());
    namespace.apply(&[gateway("gw"), chat, route("chat", "gw", "chat")].concat())?;
    let address = namespace.address("gw")?;
    wait_until("the route is served", SOON, || {
        let answer = send(address, &Request::chat("/chat"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    })?;
    Ok((namespace, provider, address))
}

#[test]
fn a_namespace_deleted_under_traffic_goes_whole_and_takes_no_request_of_another() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (doomed, _provider, doomed_address) = served(&cluster, "doomed")?;
    let (stays, _other, address) = served(&cluster, "stays")?;
    let elsewhere = Traffic::start(address, &Request::chat("/chat"))?;
    let in_it = Traffic::start(doomed_address, &Request::chat("/chat"))?;
    let crashes = Operator(&cluster).crashes()?;
    cluster.delete(Kind::NAMESPACE, "", doomed.name())?;
    cluster.gone(Kind::NAMESPACE, "", doomed.name(), 2 * POD)?;
    // Its clients lose their Gateway, which is what was asked for.
    drop(in_it);
    stays.apply(&route("later", "gw", "chat"))?;
    wait_until("a change elsewhere arrives", SOON, || {
        let answer = send(address, &Request::chat("/later"))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    })?;
    elsewhere.stop()?;
    assert_eq!(Operator(&cluster).crashes()?, crashes);
    Ok(())
}

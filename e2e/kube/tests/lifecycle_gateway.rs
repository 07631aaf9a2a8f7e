//! A namespace is deleted while clients are at work, in it and elsewhere.

use anyhow::Result;
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::route;
use keyward_e2e_kube::{Cluster, Kind, Operator, POD, Traffic, is_served, served_chat};

#[test]
fn a_namespace_deleted_under_traffic_goes_whole_and_takes_no_request_of_another() -> Result<()> {
    let cluster = Cluster::shared()?;
    let (doomed, doomed_address) = served_chat(&cluster, "doomed")?;
    let (stays, address) = served_chat(&cluster, "stays")?;
    let elsewhere = Traffic::start(address, &Request::chat("/chat"))?;
    let in_it = Traffic::start(doomed_address, &Request::chat("/chat"))?;
    let crashes = Operator(&cluster).crashes()?;
    cluster.delete(Kind::NAMESPACE, "", doomed.name())?;
    cluster.gone(Kind::NAMESPACE, "", doomed.name(), 2 * POD)?;
    // Its clients lose their Gateway, which is what was asked for.
    drop(in_it);
    stays.apply(&route("later", "gw", "chat"))?;
    is_served(address, "later")?;
    elsewhere.stop()?;
    assert_eq!(Operator(&cluster).crashes()?, crashes);
    Ok(())
}

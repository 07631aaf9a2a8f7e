//! The API server is away for a while. Proxies serve as before; what changes after it is back arrives.

use std::time::Duration;

use anyhow::Result;
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::route;
use keyward_e2e_kube::{Cluster, Deployed, Operator, Paused, SOON, Traffic, api_server, is_ours, is_served, served_chat, wait_until};

const AWAY: Duration = Duration::from_secs(15);

#[test]
fn proxies_serve_while_the_api_server_is_away_and_changes_arrive_afterwards() -> Result<()> {
    if !is_ours() {
        eprintln!("the processes of this cluster are elsewhere: nothing is tested");
        return Ok(());
    }
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    operator.settled()?;
    let (namespace, address) = served_chat(&cluster, "away")?;
    let crashes = operator.crashes()?;

    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    let away = Paused::new(api_server()?)?;
    let before = traffic.answered();
    std::thread::sleep(AWAY);
    assert!(traffic.answered() > before + 100, "requests stopped with the API server");
    drop(away);
    wait_until("the API server takes a change", 2 * SOON, || namespace.apply(&route("later", "gw", "chat")).map(drop))?;
    is_served(address, "later")?;
    traffic.stop()?;
    operator.settled()?;
    assert_eq!(operator.crashes()?, crashes, "the operator did not live through it");
    operator.one_leads()
}

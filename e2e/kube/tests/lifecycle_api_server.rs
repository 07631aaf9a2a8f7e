//! The API server is away for a while. Proxies serve as before; what changes after it is back arrives.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, route, upstream};
use keyward_e2e_kube::{Cluster, Namespace, Operator, Paused, Provider, SOON, Traffic, api_server, is_ours, wait_until};

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
    let namespace = Namespace::create(&cluster, "away")?;
    let provider = Provider::start(&namespace, &["sk-away"])?;
    let chat = upstream("chat", "{inline: sk-away}", &provider.custom_host());
    namespace.apply(&[gateway("gw"), chat, route("chat", "gw", "chat")].concat())?;
    let address = namespace.address("gw")?;
    let is_served = |name: &str| {
        let answer = send(address, &Request::chat(&format!("/{name}")))?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        Ok(())
    };
    wait_until("the route is served", SOON, || is_served("chat"))?;
    let crashes = operator.crashes()?;

    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    let away = Paused::new(api_server()?)?;
    let before = traffic.answered();
    std::thread::sleep(AWAY);
    assert!(traffic.answered() > before + 100, "requests stopped with the API server");
    drop(away);
    wait_until("the API server takes a change", 2 * SOON, || namespace.apply(&route("later", "gw", "chat")).map(drop))?;
    wait_until("the change arrives", SOON, || is_served("later"))?;
    traffic.stop()?;
    operator.settled()?;
    assert_eq!(operator.crashes()?, crashes, "the operator did not live through it");
    wait_until("one replica leads", SOON, || {
        let leaders = operator.sum("keyward_operator_leader")?;
        ensure!(leaders == 1.0, "{leaders} replicas do");
        Ok(())
    })
}

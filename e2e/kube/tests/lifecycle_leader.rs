//! Who writes: the lease changes hands at once when it is given back, and in time when its holder hangs.

use std::time::{Duration, Instant};

use anyhow::Result;
use keyward_e2e_kube::manifests::{gateway_with, route, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, Paused, SYSTEM, is_ours, process_of_pod, says, wait_until};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

/// A Gateway that says the same whoever leads.
fn gateway<'c>(cluster: &'c Cluster, prefix: &str) -> Result<Namespace<'c>> {
    let namespace = Namespace::create(cluster, prefix)?;
    namespace.apply(&[gateway_with("gw", LISTENERS, None), upstream("openai", "{inline: sk-leader}", "")].concat())?;
    namespace.address("gw")?;
    Ok(namespace)
}

/// Makes a route and waits until something is said of it, which only the leader does.
fn writes(namespace: &Namespace<'_>, name: &str, within: Duration) -> Result<()> {
    namespace.apply(&route(name, "gw", "openai"))?;
    wait_until("the new leader writes", within, || {
        let route = namespace.get(Kind::HTTP_ROUTE, name)?;
        says(&route["status"]["parents"][0], "Accepted", "True", "Accepted")
    })
}

#[test]
fn a_new_leader_writes_at_once_after_a_clean_stop() -> Result<()> {
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    operator.settled()?;
    let namespace = gateway(&cluster, "clean")?;
    let old = operator.leader()?.name;
    let start = Instant::now();
    cluster.kubectl(&["delete", "pod", "-n", SYSTEM, &old, "--wait=false"], None)?;
    operator.leader_other_than(&old, Duration::from_secs(3))?;
    writes(&namespace, "after-stop", Duration::from_secs(3))?;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    operator.settled()?;
    operator.one_leads()
}

#[test]
fn a_new_leader_writes_within_15_seconds_of_a_hang_and_the_old_one_steps_down() -> Result<()> {
    if !is_ours() {
        eprintln!("the processes of this cluster are elsewhere: nothing is tested");
        return Ok(());
    }
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    operator.settled()?;
    let namespace = gateway(&cluster, "hang")?;
    let old = operator.leader()?.name;
    let start = Instant::now();
    let hung = Paused::new(process_of_pod(&old)?)?;
    let new = operator.leader_other_than(&old, Duration::from_secs(15))?;
    writes(&namespace, "after-hang", Duration::from_secs(5))?;
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    drop(hung);
    operator.one_leads()?;
    assert_eq!(operator.holder()?, Some(new));
    operator.settled().map(drop)
}

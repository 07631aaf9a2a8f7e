//! The operator is replaced while clients are at work and routes change; proxies find the other replica at once.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use keyward_e2e::Request;
use keyward_e2e_kube::manifests::route;
use keyward_e2e_kube::{Cluster, Deployed, Kind, Operator, Page, SYSTEM, Traffic, is_served, served_chat};

const ADMIN: u16 = 15000;
const CONNECTED: &str = "keyward_proxy_xds_connected";

#[test]
fn a_rolling_restart_of_the_operator_loses_no_request_and_no_change() -> Result<()> {
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    let before = operator.settled()?;
    let (namespace, address) = served_chat(&cluster, "restart")?;
    let traffic = Traffic::start(address, &Request::chat("/chat"))?;
    operator.restart()?;
    let mut changes = 0;
    let through = || -> Result<bool> {
        let now = operator.replicas()?;
        Ok(now.len() == 2 && now.iter().all(|pod| pod.ready && !before.contains(pod)))
    };
    let start = Instant::now();
    while !through()? {
        ensure!(start.elapsed() < Duration::from_secs(120), "the restart does not end");
        namespace.apply(&route(&format!("change-{changes}"), "gw", "chat"))?;
        changes += 1;
        std::thread::sleep(Duration::from_millis(500));
    }
    operator.restarted()?;
    for nth in 0..changes {
        is_served(address, &format!("change-{nth}"))?;
    }
    let answered = traffic.stop()?;
    assert!(changes > 1 && answered > 100, "too little happened to tell anything: {changes} changes, {answered} requests");
    Ok(())
}

/// The longest time for which a proxy said that it is not connected, looked at every 50 ms until told to stop.
fn longest_gap(proxy: IpAddr, stop: &AtomicBool) -> Result<Duration> {
    let (mut longest, mut since): (Duration, Option<Instant>) = (Duration::ZERO, None);
    while !stop.load(Ordering::Relaxed) {
        let connected = Page::read(proxy, ADMIN)?.sum(CONNECTED) == 1.0;
        let began = *since.get_or_insert_with(Instant::now);
        match connected {
            true => since = None,
            false => longest = longest.max(began.elapsed()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(longest)
}

/// Deletes each replica in turn; the proxy is connected to one of them.
fn replace_both(cluster: &Cluster) -> Result<()> {
    for replica in Operator(cluster).settled()? {
        cluster.kubectl(&["delete", "pod", "-n", SYSTEM, &replica.name], None)?;
        Operator(cluster).settled()?;
    }
    Ok(())
}

#[test]
fn a_proxy_is_back_on_the_other_replica_within_a_second() -> Result<()> {
    let cluster = Cluster::alone()?;
    let (namespace, address) = served_chat(&cluster, "back")?;
    let proxy = namespace.proxies("gw", 1)?.remove(0);
    let connections = || -> Result<usize> {
        let log = cluster.kubectl(&["logs", "-n", namespace.name(), &proxy.name], None)?;
        Ok(log.lines().filter(|line| line.contains("connected to the control plane") && !line.contains("not connected")).count())
    };
    let before = connections()?;
    let stop = AtomicBool::new(false);
    let (replaced, gap) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| longest_gap(proxy.address, &stop));
        let replaced = replace_both(&cluster);
        stop.store(true, Ordering::Relaxed);
        (replaced, looks.join())
    });
    replaced?;
    let gap = gap.ok().context("who looks panicked")??;
    assert!(connections()? > before, "the proxy was never disconnected, so this tells nothing");
    assert!(gap < Duration::from_secs(1), "the proxy was not connected for {gap:?}");
    namespace.apply(&route("later", "gw", "chat"))?;
    is_served(address, "later")?;
    namespace.delete(Kind::HTTP_ROUTE, "later")
}

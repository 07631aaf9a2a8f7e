//! Many UDP flows at once through one proxy.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use keyward_e2e_kube::manifests::gateway_with;
use keyward_e2e_kube::{Cluster, Namespace, Page, SOON, Speaks, udp_echo, wait_until};

/// The proxies' port for metrics.
const ADMIN: u16 = 15000;
const FLOWS: u16 = 10_000;
/// Flows that wait for an answer at the same time: more would be lost in buffers of sockets.
const AT_A_TIME: usize = 50;
/// Source ports below those that the kernel gives away, so that no two flows have the same.
const FIRST_PORT: u16 = 20_000;
/// No datagram makes more flows than there are clients; a few found out whether the route is served.
const BOUND: f64 = 10_100.0;
/// A flow without a datagram ends after one to two minutes.
const IDLE: Duration = Duration::from_secs(150);
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 4;
const LISTENERS: &str = "[{name: udp, protocol: UDP, port: 8080}]";
const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: udp}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: a, port: 80}, {name: b, port: 80}]}]
---
";

fn client(port: u16, proxy: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).with_context(|| format!("port {port}"))?;
    socket.connect(proxy)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Who answers a word that was sent. Datagrams may be lost, so the word is sent again a few times, and each may be answered.
fn answerer(socket: &UdpSocket, word: &str) -> Result<String> {
    let mut buffer = [0; 256];
    for _ in 0..ATTEMPTS {
        while let Ok(count) = socket.recv(&mut buffer) {
            let answer = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            if let Some((name, of)) = answer.split_once(' ')
                && of == word
            {
                return Ok(name.to_owned());
            }
        }
        socket.send(word.as_bytes())?;
    }
    bail!("no answer to {word:?}")
}

fn ask_all(sockets: &[UdpSocket], word: &str) -> Result<Vec<String>> {
    for socket in sockets {
        socket.send(word.as_bytes())?;
    }
    sockets.iter().map(|socket| answerer(socket, word)).collect()
}

/// Opens these flows; gives the backend of each, which must not change.
fn open(ports: &[u16], proxy: SocketAddr) -> Result<Vec<String>> {
    let sockets: Vec<UdpSocket> = ports.iter().map(|port| client(*port, proxy)).collect::<Result<_>>()?;
    let first = ask_all(&sockets, "first")?;
    let second = ask_all(&sockets, "second")?;
    ensure!(first == second, "a flow changed its backend: {first:?}, then {second:?}");
    Ok(first)
}

#[test]
fn ten_thousand_flows_keep_their_backend_and_end_when_idle() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "udp")?;
    let node = cluster.node_address()?;
    let backends = [Speaks::Udp.service("a", udp_echo(node, "a")?), Speaks::Udp.service("b", udp_echo(node, "b")?)].concat();
    namespace.apply(&[gateway_with("gw", LISTENERS, None), backends, ROUTE.to_owned()].concat())?;
    let address = namespace.address("gw")?;
    let proxy = namespace.proxies("gw", 1)?.remove(0).address;
    wait_until("the route is served", SOON, || ask_all(&[client(0, address)?], "ready"))?;
    let ports: Vec<u16> = (FIRST_PORT..FIRST_PORT + FLOWS).collect();
    let mut of_a = 0;
    for some in ports.chunks(AT_A_TIME) {
        of_a += open(some, address)?.iter().filter(|name| *name == "a").count();
        let open_now = Page::read(proxy, ADMIN)?.sum("keyward_udp_flows");
        ensure!(open_now <= BOUND, "{open_now} flows are open");
    }
    let (of_b, page) = (usize::from(FLOWS) - of_a, Page::read(proxy, ADMIN)?);
    assert!(of_a > 3_000 && of_b > 3_000, "{of_a} flows had one backend and {of_b} the other");
    let all = page.value("keyward_streams_total{protocol=\"udp\"}");
    assert!(all >= f64::from(FLOWS), "{all} flows were counted");
    wait_until("idle flows end", IDLE, || {
        let open_now = Page::read(proxy, ADMIN)?.sum("keyward_udp_flows");
        ensure!(open_now == 0.0, "{open_now} flows are open");
        Ok(())
    })
}

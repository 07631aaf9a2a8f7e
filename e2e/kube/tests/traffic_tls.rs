//! TLS: what a proxy passes on, and what it ends itself while its certificate changes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::digest::{self, SHA256};
use keyward_e2e::{Authority, Leaf};
use keyward_e2e_kube::manifests::gateway_with;
use keyward_e2e_kube::{Cluster, Namespace, SOON, Speaks, wait_until};
use serde_json::Value;

const NAME: &str = "secure.test";
const BLOCK: usize = 64 * 1024;
const BLOCKS: u64 = 16 * 1024;
const PASSED_ON: &str = "[{name: tls, protocol: TLS, port: 8080, tls: {mode: Passthrough}}]";
const ENDED: &str = "[{name: https, protocol: HTTPS, port: 8080, tls: {certificateRefs: [{name: listener}]}}]";
const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: tls}
spec:
  parentRefs: [{name: gw}]
  hostnames: [secure.test]
  rules: [{backendRefs: [{name: backend, port: 80}]}]
---
";
const ROTATIONS: usize = 5;
const CLIENTS: usize = 3;
/// Between a client's handshakes: the machine is not theirs alone.
const BETWEEN: Duration = Duration::from_millis(10);

/// Sends every client a gibibyte of which no two blocks are the same, and says that it was all. Gives the address.
fn gibibyte(node: IpAddr, leaf: Leaf) -> Result<SocketAddr> {
    let listener = TcpListener::bind((node, 0)).with_context(|| format!("{node} is not here: run this on the cluster's node"))?;
    let (address, leaf) = (listener.local_addr()?, Arc::new(leaf));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let leaf = Arc::clone(&leaf);
            // A client that only asks whether the route is served goes before it has everything.
            std::thread::spawn(move || send_blocks(stream, &leaf));
        }
    });
    Ok(address)
}

fn send_blocks(stream: TcpStream, leaf: &Leaf) -> Result<()> {
    stream.set_write_timeout(Some(SOON))?;
    let mut stream = leaf.serve(stream)?;
    let mut block = first_block();
    for nth in 0..BLOCKS {
        number(&mut block, nth);
        stream.write_all(&block)?;
    }
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

fn first_block() -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    fastrand::Rng::with_seed(7).fill(&mut block);
    block
}

fn number(block: &mut [u8], nth: u64) {
    for (byte, of) in block.iter_mut().zip(nth.to_be_bytes()) {
        *byte = of;
    }
}

/// The hash of what the backend sends.
fn sent() -> Vec<u8> {
    let (mut hash, mut block) = (digest::Context::new(&SHA256), first_block());
    for nth in 0..BLOCKS {
        number(&mut block, nth);
        hash.update(&block);
    }
    hash.finish().as_ref().to_vec()
}

/// How many bytes come before the server says that it was all, and their hash.
fn received(mut stream: impl Read) -> Result<(u64, Vec<u8>)> {
    let (mut hash, mut buffer, mut total) = (digest::Context::new(&SHA256), vec![0; BLOCK], 0);
    loop {
        let count = stream.read(&mut buffer).with_context(|| format!("after {total} bytes"))?;
        if count == 0 {
            return Ok((total, hash.finish().as_ref().to_vec()));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        total += count as u64;
    }
}

#[test]
fn passes_a_gibibyte_through_tls_untouched() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "passthrough")?;
    let authority = Authority::generate()?;
    let backend = gibibyte(cluster.node_address()?, authority.leaf(NAME)?)?;
    namespace.apply(&[gateway_with("gw", PASSED_ON, None), Speaks::Tcp.service("backend", backend), ROUTE.to_owned()].concat())?;
    let address = namespace.address("gw")?;
    wait_until("the route is served", SOON, || authority.handshake(address, NAME))?;
    let (total, hash) = received(authority.connect(address, NAME)?)?;
    assert_eq!(total, BLOCKS * BLOCK as u64);
    assert_eq!(hash, sent());
    Ok(())
}

fn secret(leaf: &Leaf) -> String {
    // A JSON text is a YAML text, on one line.
    let (certificate, key) = (Value::from(leaf.certificate.as_str()), Value::from(leaf.key.as_str()));
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: listener}}
type: kubernetes.io/tls
stringData: {{tls.crt: {certificate}, tls.key: {key}}}
---
"
    )
}

/// Makes handshakes until told to stop; the first that fails is the end.
fn shake(authority: &Authority, address: SocketAddr, stop: &AtomicBool, made: &AtomicU64) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let before = made.load(Ordering::Relaxed);
        authority.handshake(address, NAME).with_context(|| format!("a handshake failed, after {before} that did not"))?;
        made.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(BETWEEN);
    }
    Ok(())
}

/// Replaces the certificate several times, each time until it is served.
fn rotate(namespace: &Namespace<'_>, authority: &Authority, address: SocketAddr, made: &AtomicU64) -> Result<()> {
    for nth in 0..ROTATIONS {
        let (leaf, before) = (authority.leaf(NAME)?, made.load(Ordering::Relaxed));
        namespace.apply(&secret(&leaf))?;
        wait_until(&format!("certificate {nth} is served"), SOON, || {
            ensure!(authority.handshake(address, NAME)? == leaf.der, "another is");
            Ok(())
        })?;
        wait_until("handshakes go on", SOON, || {
            let now = made.load(Ordering::Relaxed);
            ensure!(now >= before + 50, "{now} were made, {before} before");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn rotates_a_certificate_on_a_busy_listener_without_a_failed_handshake() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "certificate")?;
    let authority = Authority::generate()?;
    namespace.apply(&[secret(&authority.leaf(NAME)?), gateway_with("gw", ENDED, None)].concat())?;
    let address = namespace.address("gw")?;
    wait_until("the listener is served", SOON, || authority.handshake(address, NAME))?;
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| shake(&authority, address, &stop, &made))).collect();
        let rotated = rotate(&namespace, &authority, address, &made);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().ok().context("a client panicked")??;
        }
        rotated
    })
}

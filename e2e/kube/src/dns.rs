//! Names outside the cluster, as its pods see them: the `hosts` block of CoreDNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Cluster, Kind, wait_until};

const NAMESPACE: &str = "kube-system";
const CONFIG: &str = "coredns";
const BLOCK: &str = "hosts {\n";
/// The kubelet renews the volume, then CoreDNS looks at the file.
const RENEWED: Duration = Duration::from_secs(40);

/// A name that leads to an address of ours until this is dropped. One test at most has one.
pub struct HostName<'c> {
    cluster: &'c Cluster,
    before: String,
}

impl<'c> HostName<'c> {
    /// Writes a name and waits until the cluster's DNS knows it.
    ///
    /// # Errors
    /// When it does not come to know it.
    pub fn new(cluster: &'c Cluster, name: &str, address: IpAddr) -> Result<Self> {
        let config = cluster.get(Kind::CONFIG_MAP, NAMESPACE, CONFIG)?;
        let before = config.pointer("/data/Corefile").and_then(Value::as_str).context("no Corefile")?.to_owned();
        ensure!(before.contains(BLOCK), "CoreDNS has no block of hosts: {before}");
        let this = Self { cluster, before };
        this.write(&this.before.replacen(BLOCK, &format!("{BLOCK}            {address} {name}\n"), 1))?;
        let server = cluster.service_address(NAMESPACE, "kube-dns", 53)?;
        wait_until(&format!("the cluster's DNS knows {name}"), RENEWED, || {
            let found = resolve(server, name)?;
            ensure!(found.map(IpAddr::V4) == Some(address), "{name} is {found:?}");
            Ok(())
        })?;
        Ok(this)
    }

    fn write(&self, corefile: &str) -> Result<()> {
        self.cluster.patch(Kind::CONFIG_MAP, NAMESPACE, CONFIG, &json!({ "data": { "Corefile": corefile } }))
    }
}

impl Drop for HostName<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.write(&self.before) {
            eprintln!("the cluster's DNS stays as it is: {error:#}");
        }
    }
}

/// Asks for a name's first IPv4 address (RFC 1035, 4): a question whose id is 1, and recursion desired.
fn resolve(server: SocketAddr, name: &str) -> Result<Option<Ipv4Addr>> {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len())?);
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.send_to(&question, server)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let answers = answer.get(6..8).map(|count| u16::from_be_bytes([count[0], count[1]])).unwrap_or_default();
    // An answer with one address ends with it.
    let last: Option<[u8; 4]> = length.checked_sub(4).and_then(|start| answer.get(start..length)?.try_into().ok());
    Ok(last.filter(|_| answers == 1).map(Ipv4Addr::from))
}

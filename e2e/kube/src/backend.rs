//! Backends inside the test: they listen on the node's address, and a Service without a selector leads there.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result};

/// The longest datagram that is sent back.
const DATAGRAM: usize = 2048;

/// What a backend speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, or anything else on TCP.
    Tcp,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// Datagrams.
    Udp,
}

impl Speaks {
    /// A Service of this name on port 80, and the EndpointSlice that leads to the address.
    #[must_use]
    pub fn service(self, name: &str, address: SocketAddr) -> String {
        let (protocol, more) = match self {
            Self::Tcp => ("TCP", ""),
            Self::H2c => ("TCP", ", appProtocol: kubernetes.io/h2c"),
            Self::Udp => ("UDP", ""),
        };
        let (address, port) = (address.ip(), address.port());
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{ports: [{{name: main, port: 80, protocol: {protocol}{more}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: main, port: {port}, protocol: {protocol}}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
---
"
        )
    }
}

/// Sends every datagram back with its name and a blank before it; its thread waits until the program ends.
///
/// # Errors
/// When the node's address is not here.
pub fn udp_echo(node: IpAddr, name: &'static str) -> Result<SocketAddr> {
    let socket = UdpSocket::bind((node, 0)).with_context(|| format!("{node} is not here: run this on the cluster's node"))?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || {
        let mut buffer = [0; DATAGRAM];
        // An earlier answer that nobody took is reported as an error of the next call.
        loop {
            if let Ok((count, from)) = socket.recv_from(&mut buffer) {
                let word = buffer.get(..count).unwrap_or_default();
                let _ = socket.send_to(&[name.as_bytes(), b" ", word].concat(), from);
            }
        }
    });
    Ok(address)
}

//! The backend: it answers 200 to everything, on the node's address, where the proxies' pods reach it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A running backend; its threads wait until the program ends.
pub(super) struct Backend {
    address: SocketAddr,
}

impl Backend {
    pub(super) fn start(node: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((node, 0)).with_context(|| format!("{node} is not here: run this on the cluster's node"))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address })
    }

    /// A Service `backend` on port 80, and the EndpointSlice that leads here.
    pub(super) fn manifests(&self) -> String {
        let (address, port) = (self.address.ip(), self.address.port());
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: backend}}
spec: {{ports: [{{name: http, port: 80, protocol: TCP}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: backend-1, labels: {{kubernetes.io/service-name: backend}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
---
"
        )
    }
}

/// Requests without bodies, one after the other.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        head.extend(buffer.iter().take(count));
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(ANSWER)?;
        }
    }
}

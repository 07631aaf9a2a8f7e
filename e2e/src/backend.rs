//! A backend that is no provider: takes a WebSocket upgrade and sends back every byte. It understands no frames.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The answer to the nonce of RFC 6455, section 1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A running backend. Its thread waits in `accept` until the test program ends.
pub struct EchoBackend {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl EchoBackend {
    /// Starts a backend on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_on(Ipv4Addr::LOCALHOST.into())
    }

    /// As [`Self::start`], on an address that others than this machine reach.
    ///
    /// # Errors
    /// When the address is not here.
    pub fn start_on(ip: IpAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        let addr = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heads = Arc::clone(&written);
                // The client's end of a connection is the end of its thread.
                std::thread::spawn(move || serve(stream, &heads));
            }
        });
        Ok(Self { addr, heads })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The request heads it received.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A Service `NAME` on port 80 with `appProtocol: kubernetes.io/ws`, and the EndpointSlice that leads here.
    #[must_use]
    pub fn manifests(&self, name: &str) -> String {
        let (address, port) = (self.addr.ip(), self.addr.port());
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: gloo-system}}
spec:
  ports:
  - {{name: ws, port: 80, targetPort: {port}, protocol: TCP, appProtocol: kubernetes.io/ws}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: gloo-system
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports:
- {{name: ws, port: {port}, protocol: TCP, appProtocol: kubernetes.io/ws}}
endpoints:
- {{addresses: [{address}], conditions: {{ready: true}}}}
---
"
        )
    }
}

fn serve(mut stream: TcpStream, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    stream.write_all(ANSWER)?;
    let mut copy = stream.try_clone()?;
    std::io::copy(&mut stream, &mut copy)?;
    Ok(())
}

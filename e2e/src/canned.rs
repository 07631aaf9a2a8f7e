//! A backend that answers with exactly the bytes it was given, for what no HTTP library would send, and closes the connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::service;

/// The bytes to answer with, by the request's target.
type Script = fn(&str) -> Vec<u8>;

/// A running backend. Its thread waits in `accept` until the test program ends.
pub struct Canned {
    addr: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Canned {
    /// Starts a backend on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let requests = Arc::clone(&counted);
                std::thread::spawn(move || serve(stream, script, &requests));
            }
        });
        Ok(Self { addr, requests })
    }

    /// Requests whose heads came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A Service of this name on port 80, and the EndpointSlice that leads here.
    #[must_use]
    pub fn manifests(&self, name: &str) -> String {
        service(name, &[self.addr], None)
    }
}

/// One request per connection.
fn serve(mut stream: TcpStream, script: Script, requests: &AtomicU64) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    requests.fetch_add(1, Ordering::Relaxed);
    let head = String::from_utf8_lossy(&head).into_owned();
    stream.write_all(&script(head.split(' ').nth(1).unwrap_or_default()))
}

//! `kubectl port-forward`, the way to what a pod shows to its own loopback address only.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};

/// Forwards until it is dropped.
pub struct PortForward {
    child: Child,
    address: SocketAddr,
    /// Kept open: kubectl goes on to say something about each connection, and ends when it cannot.
    _output: BufReader<ChildStdout>,
}

impl PortForward {
    /// To a port of a pod.
    ///
    /// # Errors
    /// When kubectl cannot.
    pub fn start(namespace: &str, pod: &str, port: u16) -> Result<Self> {
        let mut command = Command::new("kubectl");
        command.args(["port-forward", "-n", namespace, &format!("pod/{pod}"), &format!(":{port}"), "--address=127.0.0.1"]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run kubectl")?;
        let mut output = BufReader::new(child.stdout.take().context("kubectl has no standard output")?);
        match first_line(&mut output) {
            Ok(address) => Ok(Self { child, address, _output: output }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Where it is reached here.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PortForward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_line(output: &mut BufReader<ChildStdout>) -> Result<SocketAddr> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
    Ok(address.with_context(|| format!("kubectl said {line:?}"))?.parse()?)
}

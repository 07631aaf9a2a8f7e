//! What one worker thread owns, and the thread itself.

use std::collections::HashMap;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use policy::{Port, Transport};
use tokio::sync::mpsc;

use crate::connection::Listening;
use crate::datagram::Receiving;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::pool::Pool;
use crate::state::State;
use crate::tls::{ClientTls, Terminating};

/// Shared by all requests of one thread.
pub(crate) struct Worker {
    pub(crate) options: Arc<Options>,
    pub(crate) state: Arc<ArcSwap<State>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tls: ClientTls,
    pub(crate) dns: Dns,
    pub(crate) pool: Arc<Pool>,
}

/// What the control thread tells a worker.
pub(crate) enum Command {
    /// Accept on this socket.
    Listen { port: u16, socket: TcpListener, tls: Terminating },
    /// Take datagrams from this socket.
    Receive { port: u16, socket: UdpSocket },
    /// Stop accepting on this port, say so, and let its connections finish.
    Close { port: Port, closed: std::sync::mpsc::Sender<()> },
    /// Stop accepting anywhere, let everything finish, end.
    Drain,
}

/// A port that is open.
enum Open {
    Tcp(Listening),
    Udp(Receiving),
}

impl Open {
    /// Takes nothing new. The receiver ends with the last connection or flow.
    async fn close(self) -> mpsc::Receiver<()> {
        match self {
            Self::Tcp(listening) => listening.close().await,
            Self::Udp(receiving) => receiving.close(),
        }
    }
}

impl Worker {
    /// Runs until drained.
    pub(crate) fn run(self: Arc<Self>, commands: mpsc::UnboundedReceiver<Command>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(commands));
        // Connections that outlive the drain are dropped with the runtime.
        runtime.shutdown_timeout(Duration::ZERO);
        Ok(())
    }

    async fn serve(self: Arc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let sweeper = tokio::spawn(sweep(Arc::clone(&self.pool)));
        let mut open: HashMap<Port, Open> = HashMap::new();
        let mut draining = Vec::new();
        while let Some(command) = commands.recv().await {
            let (port, started) = match command {
                Command::Listen { port, socket, tls } => (Port::tcp(port), Listening::start(&self, port, socket, tls).map(Open::Tcp)),
                Command::Receive { port, socket } => (Port::udp(port), Receiving::start(&self, port, socket).map(Open::Udp)),
                Command::Close { port, closed } => {
                    draining.extend(close(port, open.remove(&port)).await);
                    let _ = closed.send(());
                    continue;
                }
                Command::Drain => break,
            };
            let started = started.inspect_err(|error| cannot_accept(port, error));
            open.extend(started.ok().map(|started| (port, started)));
        }
        for port in open.into_values() {
            draining.push(port.close().await);
        }
        let _ = tokio::time::timeout(self.options.drain_timeout, finished(draining)).await;
        sweeper.abort();
    }
}

fn cannot_accept(port: Port, error: &std::io::Error) {
    tracing::error!(listener.port = %port, %error, "cannot accept on the port");
}

/// Until the last connection or flow of closed ports has ended.
async fn finished(draining: Vec<mpsc::Receiver<()>>) {
    for left in draining {
        last(left).await;
    }
}

/// Closes a port, so that it can be opened again; gives what is left of it.
async fn close(port: Port, open: Option<Open>) -> Option<mpsc::Receiver<()>> {
    let left = open?.close().await;
    match port.transport {
        Transport::Tcp => Some(left),
        // Flows answer through the port's own socket.
        Transport::Udp => {
            last(left).await;
            None
        }
    }
}

/// Waits for the last connection or flow.
async fn last(mut left: mpsc::Receiver<()>) {
    while left.recv().await.is_some() {}
}

async fn sweep(pool: Arc<Pool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    loop {
        ticks.tick().await;
        pool.sweep(Instant::now());
    }
}

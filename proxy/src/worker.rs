//! What one worker thread owns, and the thread itself.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::connection::Listening;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::pool::Pool;
use crate::state::State;
use crate::tls::{Acceptor, ClientTls};

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
    Listen { port: u16, socket: TcpListener, tls: Acceptor },
    /// Stop accepting on this port, say so, and let its connections finish.
    Close { port: u16, closed: std::sync::mpsc::Sender<()> },
    /// Stop accepting anywhere, let everything finish, end.
    Drain,
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
        let mut listening = std::collections::HashMap::new();
        let mut draining = Vec::new();
        while let Some(command) = commands.recv().await {
            match command {
                Command::Listen { port, socket, tls } => listening.extend(self.listen(port, socket, tls)),
                Command::Close { port, closed } => {
                    if let Some(port) = listening.remove(&port) {
                        draining.push(port.close().await);
                    }
                    let _ = closed.send(());
                }
                Command::Drain => break,
            }
        }
        for port in listening.into_values() {
            draining.push(port.close().await);
        }
        let _ = tokio::time::timeout(self.options.drain_timeout, finished(draining)).await;
        sweeper.abort();
    }
}

impl Worker {
    fn listen(self: &Arc<Self>, port: u16, socket: TcpListener, tls: TlsAcceptor) -> Option<(u16, Listening)> {
        let started = Listening::start(self, port, socket, tls);
        let started = started.inspect_err(|error| tracing::error!(listener.port = port, %error, "cannot accept on the port"));
        started.ok().map(|started| (port, started))
    }
}

/// Until the last connection of closed ports has ended.
async fn finished(draining: Vec<mpsc::Receiver<()>>) {
    for mut connections in draining {
        while connections.recv().await.is_some() {}
    }
}

async fn sweep(pool: Arc<Pool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    loop {
        ticks.tick().await;
        pool.sweep(Instant::now());
    }
}

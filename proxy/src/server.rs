//! The control side: starts workers, applies configurations, opens and closes ports, drains.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use policy::Config;
use policy::config::Protocol;
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

use crate::admin::Admin;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::state::State;
use crate::tls::ClientTls;
use crate::worker::{Command, Worker};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Why a proxy does not start or a configuration is not served. The last good one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration contradicts itself.
    #[error("configuration refused: {0}")]
    Compile(#[from] policy::CompileError),
    /// A listener's certificate is unusable.
    #[error("configuration refused: listener {listener}: {problem}")]
    Certificate {
        /// Name of the listener.
        listener: String,
        /// What is wrong.
        problem: String,
    },
    /// A port cannot be had; the others are served.
    #[error("port {port} on {bind}: {source}; end what uses it, or choose another address with --bind")]
    Port {
        /// The port.
        port: u16,
        /// The address.
        bind: IpAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The proxy cannot start at all.
    #[error("{what}: {problem}")]
    Start {
        /// What failed.
        what: &'static str,
        /// Why.
        problem: String,
    },
}

impl ApplyError {
    fn start(what: &'static str, problem: impl ToString) -> Self {
        Self::Start { what, problem: problem.to_string() }
    }
}

/// A running proxy.
pub struct Server {
    options: Arc<Options>,
    state: Arc<ArcSwap<State>>,
    metrics: Arc<Metrics>,
    admin: Admin,
    workers: Vec<RunningWorker>,
    ports: BTreeMap<u16, Protocol>,
}

struct RunningWorker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts the workers and the admin port. Nothing is accepted before the first [`Server::apply`].
    pub fn start(options: Options) -> Result<Self, ApplyError> {
        let options = Arc::new(options);
        let state = Arc::new(ArcSwap::from_pointee(State::empty()));
        let metrics = Arc::new(Metrics::new().map_err(|e| ApplyError::start("metrics", e))?);
        let tls = ClientTls::load(options.upstream_ca.as_deref()).map_err(|e| ApplyError::start("--upstream-ca", e))?;
        let admin = Admin::start(options.admin_addr, Arc::clone(&state), Arc::clone(&metrics));
        let admin = admin.map_err(|e| ApplyError::start("--admin-addr", format!("{}: {e}", options.admin_addr)))?;
        let mut server = Self { options, state, metrics, admin, workers: Vec::new(), ports: BTreeMap::new() };
        for nth in 0..server.threads() {
            let worker = server.start_worker(nth, tls.clone()).map_err(|e| ApplyError::start("worker thread", e))?;
            server.workers.push(worker);
        }
        Ok(server)
    }

    fn threads(&self) -> usize {
        match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    fn start_worker(&self, nth: usize, tls: ClientTls) -> std::io::Result<RunningWorker> {
        let worker = Arc::new(Worker {
            options: Arc::clone(&self.options),
            state: Arc::clone(&self.state),
            metrics: Arc::clone(&self.metrics),
            tls,
            dns: Dns::new(&self.options.connect_to),
            pool: Arc::default(),
        });
        let (commands, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name(format!("worker-{nth}")).spawn(move || {
            if let Err(error) = worker.run(received) {
                tracing::error!(%error, "worker ended");
            }
        })?;
        Ok(RunningWorker { commands, thread })
    }

    /// Where /metrics and the rest are.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The ports accepted on now.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.keys().copied()
    }

    /// Serves a new configuration from the next request on. Requests in flight finish under the one they met. A port that cannot be
    /// had is an error in the list, and tried again with the next configuration; everything else is served.
    pub fn apply(&mut self, config: Config) -> Result<Vec<ApplyError>, ApplyError> {
        let prepared = State::prepare(config, &self.state.load(), Instant::now());
        self.metrics.config_update(prepared.is_ok());
        let state = prepared?;
        let wanted: BTreeMap<u16, Protocol> = state.table.ports().map(|(port, table)| (port, table.protocol)).collect();
        let gone: Vec<u16> =
            self.ports.iter().filter(|(port, protocol)| wanted.get(port) != Some(protocol)).map(|(port, _)| *port).collect();
        for port in gone {
            self.ports.remove(&port);
            self.tell(|| Ok(Command::Close { port }))?;
        }
        self.state.store(Arc::new(state));
        let mut failed = Vec::new();
        for (port, protocol) in wanted {
            if !self.ports.contains_key(&port) {
                match self.open(port) {
                    Ok(()) => drop(self.ports.insert(port, protocol)),
                    Err(error) => failed.push(error),
                }
            }
        }
        Ok(failed)
    }

    fn open(&self, port: u16) -> Result<(), ApplyError> {
        let address = SocketAddr::new(self.options.bind, port);
        let failed = |source| ApplyError::Port { port, bind: address.ip(), source };
        // Shared ports would let a second proxy on the same address take half of the connections: ask for it alone first.
        let alone = bind(address, false).map_err(failed)?;
        if self.workers.len() == 1 {
            return self.tell(|| Ok(Command::Listen { port, socket: alone.try_clone().map_err(failed)? }));
        }
        drop(alone);
        self.tell(|| Ok(Command::Listen { port, socket: bind(address, true).map_err(failed)? }))
    }

    fn tell(&self, command: impl Fn() -> Result<Command, ApplyError>) -> Result<(), ApplyError> {
        for worker in &self.workers {
            worker.commands.send(command()?).map_err(|_| ApplyError::start("worker thread", "it has ended"))?;
        }
        Ok(())
    }

    /// Stops accepting, lets requests in flight finish for the drain time, ends.
    pub fn drain(self) {
        self.admin.set_draining();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain);
        }
        for worker in self.workers {
            let _ = worker.thread.join();
        }
    }
}

fn bind(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

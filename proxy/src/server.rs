//! The control side: starts workers, applies configurations, opens and closes ports, drains.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use policy::wire::Delta;
use policy::{Compiler, Config, Port, Transport};
use rustls::server::ProducesTickets;
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

use crate::admin::{Admin, Pages};
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::state::State;
use crate::tls::{self, ClientTls};
use crate::worker::{Command, Worker};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that may wait to be taken.
const DATAGRAMS: usize = 4 << 20;
/// How long a worker may take to stop accepting.
const CLOSING: Duration = Duration::from_secs(2);

/// Why a proxy does not start or a configuration is not served. The last good one stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The configuration contradicts itself.
    #[error("configuration refused: {0}")]
    Compile(#[from] policy::CompileError),
    /// A listener's certificate is unusable.
    #[error("listener {listener}: {problem}")]
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
        port: Port,
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
    /// The configuration in force, and what the next state is made from. Shared with the admin port, which prints it.
    compiler: Arc<Mutex<Compiler>>,
    state: Arc<ArcSwap<State>>,
    metrics: Arc<Metrics>,
    admin: Admin,
    workers: Vec<RunningWorker>,
    ports: BTreeSet<Port>,
    ticketer: Arc<dyn ProducesTickets>,
}

struct RunningWorker {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Starts the workers and the admin port. Nothing is accepted before the first [`Server::apply`].
    pub fn start(options: Options) -> Result<Self, ApplyError> {
        let options = Arc::new(options);
        let compiler = Arc::new(Mutex::new(Compiler::default()));
        let state = Arc::new(ArcSwap::from_pointee(State::default()));
        let metrics = Arc::new(Metrics::new().map_err(|e| ApplyError::start("metrics", e))?);
        let client_tls = ClientTls::load(&options.upstream_ca).map_err(|e| ApplyError::start("--upstream-ca", e))?;
        let pages = Pages::new(Arc::clone(&compiler), Arc::clone(&state), Arc::clone(&metrics));
        let admin = Admin::start(options.admin_addr, pages);
        let admin = admin.map_err(|e| ApplyError::start("--admin-addr", format!("{}: {e}", options.admin_addr)))?;
        let ticketer = tls::ticketer().map_err(|e| ApplyError::start("TLS tickets", e))?;
        let mut server = Self { options, compiler, state, metrics, admin, workers: Vec::new(), ports: BTreeSet::new(), ticketer };
        for nth in 0..server.threads() {
            let worker = server.start_worker(nth, client_tls.clone()).map_err(|e| ApplyError::start("worker thread", e))?;
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

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The ports accepted on now.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.ports.iter().copied()
    }

    /// Serves a new configuration in place of the old one, as [`Server::apply_delta`] does.
    pub fn apply(&mut self, config: Config) -> Result<Vec<ApplyError>, ApplyError> {
        let delta = Delta::between(self.compiler.lock().config(), &config);
        self.apply_delta(delta)
    }

    /// Serves a changed configuration from the next request on: all of the change or, with an `Err`, nothing of it. Requests in flight
    /// finish under the one they met.
    ///
    /// Only what contradicts itself as a whole (two listeners for the same host and port) is an `Err`. A rule that cannot be compiled, a
    /// certificate that does not fit its key, a port that somebody else has: each is an error in the list, and everything else is
    /// served. To refuse the whole for one of them would let one route's mistake, or another process on the node, stop every other
    /// change; and going back would not give the port either. A rule or certificate is in the list once, when it changes; a port is
    /// tried again with every change.
    pub fn apply_delta(&mut self, delta: Delta) -> Result<Vec<ApplyError>, ApplyError> {
        let mut failed = self.compile(delta)?;
        let wanted: BTreeSet<Port> = self.state.load().table.ports().map(|(port, _)| port).collect();
        for port in self.ports.difference(&wanted) {
            self.close(*port);
        }
        self.ports.retain(|port| wanted.contains(port));
        for port in &wanted {
            if !self.ports.contains(port) {
                match self.open(*port) {
                    Ok(()) => drop(self.ports.insert(*port)),
                    Err(error) => failed.push(error),
                }
            }
        }
        let state = self.state.load();
        self.metrics.unserved([state.table.problems().len(), state.unusable, wanted.len() - self.ports.len()]);
        self.admin.set_configured();
        Ok(failed)
    }

    fn compile(&self, delta: Delta) -> Result<Vec<ApplyError>, ApplyError> {
        let mut compiler = self.compiler.lock();
        let applied = compiler.apply(delta);
        self.metrics.config_update(applied.is_ok());
        let (state, failed) = self.state.load().after(applied?, compiler.config(), Instant::now());
        self.state.store(Arc::new(state));
        Ok(failed)
    }

    fn open(&self, port: Port) -> Result<(), ApplyError> {
        let number = port.number;
        let tls = tls::terminating(number, Arc::clone(&self.state), Arc::clone(&self.ticketer)).map_err(|e| ApplyError::start("TLS", e))?;
        let sockets = self.sockets(port).map_err(|source| ApplyError::Port { port, bind: self.options.bind, source })?;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let command = match port.transport {
                Transport::Tcp => Command::Listen { port: number, socket: socket.into(), tls: tls.clone() },
                Transport::Udp => Command::Receive { port: number, socket: socket.into() },
            };
            worker.commands.send(command).map_err(|_| ApplyError::start("worker thread", "it has ended"))?;
        }
        Ok(())
    }

    /// One for each worker, ready to take what comes.
    fn sockets(&self, port: Port) -> std::io::Result<Vec<Socket>> {
        let address = SocketAddr::new(self.options.bind, port.number);
        // Shared ports would let a second proxy on the same address take half of the connections: ask for it alone first.
        let alone = bind(address, port.transport, false)?;
        match self.workers.len() {
            1 => Ok(vec![listen(alone, port.transport)?]),
            workers => {
                drop(alone);
                let shared = |_| bind(address, port.transport, true).and_then(|socket| listen(socket, port.transport));
                (0..workers).map(shared).collect()
            }
        }
    }

    /// Returns when no worker accepts on the port any more, so that it can be opened again.
    fn close(&self, port: Port) {
        let (closed, wait) = std::sync::mpsc::channel();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Close { port, closed: closed.clone() });
        }
        drop(closed);
        while wait.recv_timeout(CLOSING).is_ok() {}
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

fn bind(address: SocketAddr, transport: Transport, shared: bool) -> std::io::Result<Socket> {
    let kind = match transport {
        Transport::Tcp => Type::STREAM,
        Transport::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    // Old connections must not keep a port from being opened again. With UDP it would let others have the port as well.
    socket.set_reuse_address(transport == Transport::Tcp)?;
    socket.set_reuse_port(shared)?;
    if transport == Transport::Udp {
        // As much as the system allows: nobody sends a lost datagram again.
        let _ = socket.set_recv_buffer_size(DATAGRAMS);
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(socket: Socket, transport: Transport) -> std::io::Result<Socket> {
    if transport == Transport::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

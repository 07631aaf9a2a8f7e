//! Datagrams: what one client address sends to one port is a flow. It is joined to a pod of the backend with its first datagram, has a
//! socket of its own towards that pod, and ends when nobody has said anything for a while. The kernel brings all datagrams of an address to
//! the same worker, so that a flow never changes threads.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use policy::{Passage, Reason, pass};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::error::UpstreamError;
use crate::metrics::Carried;
use crate::worker::Worker;

/// Flows of one port on one worker; what would be one more is dropped. Each has a file descriptor.
const FLOWS: usize = 16 * 1024;
/// A flow ends when neither side has sent anything for so long, at most twice that.
const IDLE: Duration = Duration::from_secs(60);
/// What answers on their way get when the port closes.
const LAST_ANSWERS: Duration = Duration::from_millis(250);
/// The longest datagram there is.
const DATAGRAM: usize = 65_535;
/// Answers that one flow passes on before others have their turn.
const BURST: usize = 32;

/// A port that takes datagrams.
pub(crate) struct Receiving {
    closing: watch::Sender<bool>,
    /// Yields `None` when nobody holds the port's socket any more.
    open: mpsc::Receiver<()>,
}

impl Receiving {
    pub(crate) fn start(worker: &Arc<Worker>, port: u16, socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (closing, closed) = watch::channel(false);
        let (alive, open) = mpsc::channel(1);
        let front = Front {
            worker: Arc::clone(worker),
            port,
            socket: UdpSocket::from_std(socket)?,
            flows: Mutex::default(),
            answer: Mutex::new(vec![0; DATAGRAM].into_boxed_slice()),
            closed,
            _alive: alive,
        };
        tokio::spawn(receive(Arc::new(front)));
        Ok(Self { closing, open })
    }

    /// Takes no more from clients; their flows end with the answers that are on their way. The receiver ends with the last of them.
    pub(crate) fn close(self) -> mpsc::Receiver<()> {
        let _ = self.closing.send(true);
        self.open
    }
}

/// One worker's side of a port.
struct Front {
    worker: Arc<Worker>,
    port: u16,
    socket: UdpSocket,
    /// By the client's address.
    flows: Mutex<HashMap<SocketAddr, Open, RandomState>>,
    /// Where all flows read their answers, one after the other.
    answer: Mutex<Box<[u8]>>,
    closed: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

/// A flow in the table.
struct Open {
    flow: Arc<Flow>,
    answering: AbortHandle,
}

/// The way from one client to its pod.
struct Flow {
    worker: Arc<Worker>,
    socket: UdpSocket,
    /// Whether the client said anything since this was last looked at.
    spoke: AtomicBool,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.worker.metrics.streams.flows.dec();
    }
}

async fn receive(front: Arc<Front>) {
    let mut closed = front.closed.clone();
    let mut datagram = vec![0; DATAGRAM].into_boxed_slice();
    loop {
        let next = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return,
            next = front.socket.recv_from(&mut datagram) => next,
        };
        match next {
            Ok((length, client)) => front.take(client, &datagram[..length]).await,
            Err(error) => {
                tracing::warn!(%error, listener.port = front.port, "cannot take a datagram");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl Front {
    /// Passes on a client's datagram, by the flow that it belongs to or begins.
    async fn take(self: &Arc<Self>, client: SocketAddr, datagram: &[u8]) {
        let known = self.flows.lock().get(&client).map(|open| Arc::clone(&open.flow));
        let Some(flow) = known.or_else(|| self.begin(client)) else { return };
        flow.spoke.store(true, Ordering::Relaxed);
        self.worker.metrics.streams.received(datagram.len() as u64);
        if let Err(error) = flow.socket.send(datagram).await {
            // Such as a pod that is no more: the client's next datagram begins a flow to another.
            tracing::debug!(%error, listener.port = self.port, "a flow was cut");
            if let Some(open) = self.flows.lock().remove(&client) {
                open.answering.abort();
            }
        }
    }

    /// A flow for a client that has none. Refusals are counted; a line of the log for each would let anybody fill it.
    fn begin(self: &Arc<Self>, client: SocketAddr) -> Option<Arc<Flow>> {
        let metrics = &self.worker.metrics;
        let passage = self.passage().inspect_err(|reason| {
            metrics.refused(*reason);
            tracing::debug!(reason = reason.label(), listener.port = self.port, "flow refused");
        });
        let socket = self.socket(&passage.ok()?).inspect_err(|error| {
            metrics.upstream_failed(error);
            tracing::debug!(%error, listener.port = self.port, "no way for a flow");
        });
        let flow = Arc::new(Flow { worker: Arc::clone(&self.worker), socket: socket.ok()?, spoke: AtomicBool::new(true) });
        metrics.streams.flows.inc();
        metrics.streams.opened(Carried::Udp);
        let answering = tokio::spawn(answer(Arc::clone(self), Arc::clone(&flow), client)).abort_handle();
        self.flows.lock().insert(client, Open { flow: Arc::clone(&flow), answering });
        Some(flow)
    }

    fn passage(&self) -> Result<Passage, Reason> {
        let state = self.worker.state.load();
        let listener = state.table.udp_port(self.port).and_then(|port| port.listener("")).ok_or(Reason::NoRoute)?;
        pass(listener, "", fastrand::u64(..))
    }

    fn socket(&self, passage: &Passage) -> Result<UdpSocket, UpstreamError> {
        if self.flows.lock().len() >= FLOWS {
            return Err(UpstreamError::Connect("there are too many flows".into()));
        }
        connect(passage.endpoints()).map_err(|error| UpstreamError::Connect(error.to_string()))
    }

    /// Passes answers on until the flow has been idle, or its pod is gone.
    async fn pass_back(&self, flow: &Flow, client: SocketAddr) {
        loop {
            match timeout(IDLE, flow.socket.readable()).await {
                Ok(Ok(())) => {
                    if let Err(error) = self.pass_back_some(flow, client) {
                        return tracing::debug!(%error, listener.port = self.port, "a flow was cut");
                    }
                }
                Ok(Err(_)) => return,
                Err(_) if flow.spoke.swap(false, Ordering::Relaxed) => {}
                Err(_) => return,
            }
        }
    }

    /// Passes on what is there, or some of it. As with any datagram, one that finds no room is lost.
    fn pass_back_some(&self, flow: &Flow, client: SocketAddr) -> io::Result<()> {
        let mut answer = self.answer.lock();
        for _ in 0..BURST {
            match flow.socket.try_recv(&mut answer) {
                Ok(length) => {
                    self.worker.metrics.streams.sent(length as u64);
                    let _ = self.socket.try_send_to(&answer[..length], client);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One flow's way back, for as long as there is the flow.
async fn answer(front: Arc<Front>, flow: Arc<Flow>, client: SocketAddr) {
    let mut closed = front.closed.clone();
    let closing = async {
        let _ = closed.wait_for(|closed| *closed).await;
        sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        () = front.pass_back(&flow, client) => {}
        () = closing => {}
    }
    front.flows.lock().remove(&client);
}

/// A socket that hears of one of the pods and of nobody else.
fn connect(pods: &[SocketAddr]) -> io::Result<UdpSocket> {
    let pod = fastrand::choice(pods).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any = match pod {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(pod)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

//! What all requests of one client connection share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::sniff::SeenLength;
use crate::worker::Worker;

/// How connections reached us: the port.
pub(crate) struct Via {
    pub(crate) worker: Arc<Worker>,
    pub(crate) port: u16,
    /// No new connections: the answers on HTTP/1 say that they are the last.
    pub(crate) closing: AtomicBool,
    /// Dropped with the port's last connection or tunnel.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// Counts an open connection, tunnels included.
pub(crate) struct Counted(Arc<Via>);

impl Counted {
    pub(crate) fn new(via: &Arc<Via>) -> Self {
        via.worker.metrics.connections.inc();
        Self(Arc::clone(via))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.worker.metrics.connections.dec();
    }
}

/// One client connection.
pub(crate) struct Session {
    pub(crate) via: Arc<Via>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// The client's SNI, as a host.
    pub(crate) server_name: Option<String>,
    /// There on HTTP/1.
    pub(crate) lengths: Option<SeenLength>,
    active: AtomicUsize,
    served: AtomicUsize,
}

impl Session {
    pub(crate) fn new(via: Arc<Via>, scheme: &'static str, server_name: Option<String>) -> Self {
        Self { via, scheme, server_name, lengths: None, active: AtomicUsize::new(0), served: AtomicUsize::new(0) }
    }

    pub(crate) fn started(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer is out: on HTTP/1, what comes next is a head.
    pub(crate) fn finished(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        if let Some(lengths) = &self.lengths {
            lengths.next_head();
        }
    }

    /// Requests so far, unless one is being answered.
    pub(crate) fn idle_since(&self) -> Option<usize> {
        (self.active.load(Ordering::Relaxed) == 0).then(|| self.served.load(Ordering::Relaxed))
    }
}

//! Idle connections to backends, of one worker. HTTP/1 connections are taken and given back, the last used first; an HTTP/2
//! connection is shared.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use policy::config::AppProtocol;
use policy::{Origin, TlsIdentity};
use smallvec::SmallVec;

use crate::body::RequestBody;

/// Shorter than the keep-alive of common servers would be best, but none is common; providers keep for minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(50);
/// More idle connections to one place than this are closed.
const IDLE_MOST: usize = 1024;

/// Requests on one HTTP/2 connection; servers commonly allow 100 to 128, and one more would wait behind the others.
const STREAMS_MOST: usize = 100;

/// To whom a connection leads. Requests of different origins never share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PoolKey {
    /// A pod, in plain HTTP/1.1.
    Pod(SocketAddr),
    /// A pod, in HTTP/2 with prior knowledge.
    PodH2(SocketAddr),
    /// A pod, in TLS that is verified in one way, for what its Service says it speaks.
    PodTls(SocketAddr, AppProtocol, TlsIdentity),
    /// A provider.
    Provider(Arc<Origin>),
}

type Http1 = http1::SendRequest<RequestBody>;
type Http2 = http2::SendRequest<RequestBody>;

#[derive(Default)]
pub(crate) struct Pool {
    http1: Mutex<HashMap<PoolKey, SmallVec<[Idle; 4]>, RandomState>>,
    http2: Mutex<HashMap<PoolKey, SmallVec<[Shared; 1]>, RandomState>>,
}

struct Idle {
    sender: Http1,
    since: Instant,
}

struct Shared {
    sender: Http2,
    /// Held by every request on the connection.
    busy: Arc<()>,
    since: Instant,
}

/// A connection in use, or on its way back.
pub(crate) enum Lease {
    Http1 {
        pool: Arc<Pool>,
        key: PoolKey,
        sender: Http1,
    },
    /// Only counted while it is held.
    Http2 {
        _busy: Arc<()>,
    },
}

/// A connection that can take a request.
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2, Arc<()>),
}

impl Pool {
    /// An idle connection that was open a moment ago.
    pub(crate) fn take(&self, key: &PoolKey) -> Option<Connection> {
        let shared = if matches!(key, PoolKey::Pod(_)) { None } else { self.take_http2(key) };
        shared.or_else(|| self.take_http1(key).map(Connection::Http1))
    }

    fn take_http1(&self, key: &PoolKey) -> Option<Http1> {
        let mut pool = self.http1.lock();
        let idle = pool.get_mut(key)?;
        while let Some(last) = idle.pop() {
            if last.sender.is_ready() {
                return Some(last.sender);
            }
        }
        None
    }

    fn take_http2(&self, key: &PoolKey) -> Option<Connection> {
        let mut pool = self.http2.lock();
        let shared = pool.get_mut(key)?;
        shared.retain(|shared| !shared.sender.is_closed());
        let free = shared.iter_mut().find(|shared| Arc::strong_count(&shared.busy) <= STREAMS_MOST)?;
        free.since = Instant::now();
        Some(Connection::Http2(free.sender.clone(), Arc::clone(&free.busy)))
    }

    /// Takes in a new HTTP/2 connection, and gives it out for a first request.
    pub(crate) fn share(&self, key: PoolKey, sender: Http2) -> Connection {
        let busy = Arc::new(());
        let shared = Shared { sender: sender.clone(), busy: Arc::clone(&busy), since: Instant::now() };
        self.http2.lock().entry(key).or_default().push(shared);
        Connection::Http2(sender, busy)
    }

    /// Closes what nobody used for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        let is_fresh = |since: Instant| now.saturating_duration_since(since) < IDLE_LIMIT;
        self.http1.lock().retain(|_, idle| {
            idle.retain(|idle| !idle.sender.is_closed() && is_fresh(idle.since));
            !idle.is_empty()
        });
        self.http2.lock().retain(|_, shared| {
            shared.retain(|shared| !shared.sender.is_closed() && (Arc::strong_count(&shared.busy) > 1 || is_fresh(shared.since)));
            !shared.is_empty()
        });
    }
}

impl Lease {
    /// Makes the connection available again. One that is still sending the request (the backend answered early) is let go: it ends
    /// when that is done, and nobody waits for it.
    pub(crate) fn give_back(self) {
        let Self::Http1 { pool, key, sender } = self else { return };
        if !sender.is_ready() {
            return;
        }
        let mut pool = pool.http1.lock();
        let idle = pool.entry(key).or_default();
        if idle.len() < IDLE_MOST {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

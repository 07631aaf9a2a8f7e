//! Idle connections to backends, of one worker. HTTP/1 connections are taken and given back, the last used first; an HTTP/2
//! connection is shared.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use policy::Origin;
use smallvec::SmallVec;

use crate::body::RequestBody;

/// Shorter than the keep-alive of common servers would be best, but none is common; providers keep for minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(50);
/// More idle connections to one place than this are closed.
const IDLE_MOST: usize = 1024;

/// To whom a connection leads. Requests of different origins never share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PoolKey {
    /// A pod, in plain HTTP/1.1.
    Pod(SocketAddr),
    /// A pod, in HTTP/2 with prior knowledge.
    PodH2(SocketAddr),
    /// A provider.
    Provider(Arc<Origin>),
}

type Http1 = http1::SendRequest<RequestBody>;
type Http2 = http2::SendRequest<RequestBody>;

#[derive(Default)]
pub(crate) struct Pool {
    http1: Mutex<HashMap<PoolKey, SmallVec<[Idle; 4]>, RandomState>>,
    http2: Mutex<HashMap<PoolKey, Http2, RandomState>>,
}

struct Idle {
    sender: Http1,
    since: Instant,
}

/// A connection in use, or on its way back.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    key: PoolKey,
    sender: Http1,
}

/// A connection that can take a request.
pub(crate) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

impl Pool {
    /// An idle connection that was open a moment ago.
    pub(crate) fn take(&self, key: &PoolKey) -> Option<Connection> {
        self.take_http2(key).map(Connection::Http2).or_else(|| self.take_http1(key).map(Connection::Http1))
    }

    fn take_http1(&self, key: &PoolKey) -> Option<Http1> {
        let mut pool = self.http1.lock();
        let idle = pool.get_mut(key)?;
        while let Some(last) = idle.pop() {
            if !last.sender.is_closed() {
                return Some(last.sender);
            }
        }
        None
    }

    fn take_http2(&self, key: &PoolKey) -> Option<Http2> {
        if matches!(key, PoolKey::Pod(_)) {
            return None;
        }
        let mut pool = self.http2.lock();
        let sender = pool.get(key)?;
        if sender.is_closed() {
            pool.remove(key);
            return None;
        }
        Some(sender.clone())
    }

    pub(crate) fn share(&self, key: PoolKey, sender: Http2) {
        self.http2.lock().insert(key, sender);
    }

    /// Closes what nobody used for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        self.http1.lock().retain(|_, idle| {
            idle.retain(|idle| !idle.sender.is_closed() && now.duration_since(idle.since) < IDLE_LIMIT);
            !idle.is_empty()
        });
        self.http2.lock().retain(|_, sender| !sender.is_closed());
    }
}

impl Lease {
    pub(crate) fn new(pool: &Arc<Pool>, key: PoolKey, sender: Http1) -> Self {
        Self { pool: Arc::clone(pool), key, sender }
    }

    /// Makes the connection available again.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut pool = self.pool.http1.lock();
        let idle = pool.entry(self.key).or_default();
        if idle.len() < IDLE_MOST {
            idle.push(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

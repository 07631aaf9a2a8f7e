//! What the load client is told to do, and what it says it saw. Both cross a process boundary as JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::payload::{Ask, EVENT_INTERVAL};

/// What a load of [`Mode::Idle`] prints once all connections idle; the caller then closes its stdin to go on.
pub const HOLDING: &str = "holding";

/// One load on one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// How requests follow each other.
    pub mode: Mode,
    /// Where they go.
    pub address: SocketAddr,
    /// Path they ask for.
    pub path: String,
    /// See [`Ask::dressed`].
    pub dressed: bool,
    /// Speak TLS and trust this certificate (PEM).
    pub ca: Option<PathBuf>,
    /// Connections at once.
    pub connections: u32,
    /// Milliseconds before measuring.
    pub warmup_ms: u64,
    /// Milliseconds measured.
    pub measure_ms: u64,
    /// Processes whose CPU time is measured.
    pub pids: Vec<u32>,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The next one on the same connection as soon as the last one is answered.
    KeepAlive,
    /// A connection for each.
    Close,
    /// One for each connection, answered by a stream of events.
    Stream,
    /// One for each connection, which then idles until the caller says go; then one more.
    Idle,
}

/// What a load saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Requests from the first to the last, measured or not.
    pub requests: u64,
    /// Units of work in the measured time: requests, or events of streams.
    pub completed: u64,
    /// Reads from connections in the measured time, where they are counted.
    pub reads: u64,
    /// The measured time.
    pub seconds: f64,
    /// CPU time the subject took in it, nanoseconds.
    pub cpu_ns: u64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency, microseconds.
    pub p99_us: f64,
    /// What went wrong. Nothing may.
    pub errors: Vec<String>,
}

impl Job {
    /// Time before measuring.
    pub fn warmup(&self) -> Duration {
        Duration::from_millis(self.warmup_ms)
    }

    /// Time measured.
    pub fn measure(&self) -> Duration {
        Duration::from_millis(self.measure_ms)
    }

    /// What its requests are like.
    pub fn ask(&self) -> Ask<'_> {
        Ask { path: &self.path, dressed: self.dressed, close: self.mode == Mode::Close, events: self.events() }
    }

    /// Events of each stream: enough to outlast the measured time.
    pub fn events(&self) -> Option<u32> {
        let whole = self.warmup() + self.measure() + Duration::from_millis(500);
        let events = u32::try_from(whole.as_millis() / EVENT_INTERVAL.as_millis()).unwrap_or(u32::MAX);
        (self.mode == Mode::Stream).then_some(events)
    }
}

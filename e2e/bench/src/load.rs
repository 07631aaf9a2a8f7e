//! The load client: does one [`Job`], bounded in time and count, and prints its [`Report`]. One process, one thread, closed loops.

mod idle;
mod requests;
mod stream;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{sleep, timeout};

use crate::connection::Dialer;
use crate::job::{Job, Mode, Report};
use crate::{payload, procfs};

/// What a load may take beyond its warm-up and measured time, before it is given up.
const GRACE: Duration = Duration::from_secs(20);
/// The same for idle connections, which are opened, held and used again.
const IDLE_GRACE: Duration = Duration::from_secs(180);
/// No load sends more requests.
const MOST_REQUESTS: u64 = 5_000_000;

/// Does a job given as JSON.
pub fn run(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job")?;
    let limit = job.warmup() + job.measure() + if job.mode == Mode::Idle { IDLE_GRACE } else { GRACE };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, async { timeout(limit, perform(job)).await });
    let report = report.context("the load did not end in time")??;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn perform(job: Job) -> Result<Report> {
    let load = Rc::new(Load::new(job)?);
    match load.job.mode {
        Mode::Idle => idle::run(&load).await,
        Mode::KeepAlive => measured(&load, |_| requests::keep_alive(Rc::clone(&load))).await,
        Mode::Close => measured(&load, |_| requests::close(Rc::clone(&load))).await,
        Mode::Stream => measured(&load, |nth| stream::read(Rc::clone(&load), nth)).await,
    }
}

/// Runs one worker for each connection, and measures while all of them are at it.
async fn measured<W>(load: &Rc<Load>, worker: impl Fn(u32) -> W) -> Result<Report>
where
    W: Future<Output = Result<()>> + 'static,
{
    let workers = (0..load.job.connections).map(|nth| tokio::task::spawn_local(worker(nth))).collect();
    let window = load.window().await?;
    let errors = ended(workers).await;
    let mut latencies = load.meter.latencies.take();
    latencies.sort_unstable();
    Ok(Report {
        requests: load.meter.requests.get(),
        completed: load.meter.completed.get(),
        reads: load.meter.reads.get(),
        seconds: window.elapsed.as_secs_f64(),
        cpu_ns: window.cpu_ns,
        p50_us: percentile(&latencies, 50),
        p99_us: percentile(&latencies, 99),
        errors,
    })
}

/// What went wrong in any worker.
async fn ended(workers: Vec<JoinHandle<Result<()>>>) -> Vec<String> {
    let mut errors = Vec::new();
    for worker in workers {
        match worker.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => errors.push(format!("{error:#}")),
            Err(error) => errors.push(error.to_string()),
        }
    }
    errors
}

fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().map_or(0.0, f64::from)
}

/// What all workers share.
struct Load {
    job: Job,
    dialer: Dialer,
    request: Vec<u8>,
    expected: String,
    meter: Meter,
}

#[derive(Default)]
struct Meter {
    phase: Cell<Phase>,
    requests: Cell<u64>,
    completed: Cell<u64>,
    reads: Cell<u64>,
    latencies: RefCell<Vec<u32>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    WarmUp,
    Measure,
    End,
}

struct Window {
    elapsed: Duration,
    cpu_ns: u64,
}

impl Load {
    fn new(job: Job) -> Result<Self> {
        Ok(Self {
            dialer: Dialer::new(job.address, job.ca.as_deref())?,
            request: payload::request(job.ask()),
            expected: payload::answer(),
            meter: Meter::default(),
            job,
        })
    }

    /// Lets the workers warm up, then measures, then tells them to end.
    async fn window(&self) -> Result<Window> {
        sleep(self.job.warmup()).await;
        let (before, started) = (procfs::cpu_ns(&self.job.pids)?, Instant::now());
        self.meter.phase.set(Phase::Measure);
        sleep(self.job.measure()).await;
        self.meter.phase.set(Phase::End);
        let (elapsed, after) = (started.elapsed(), procfs::cpu_ns(&self.job.pids)?);
        Ok(Window { elapsed, cpu_ns: after.saturating_sub(before) })
    }

    fn goes_on(&self) -> bool {
        self.meter.phase.get() != Phase::End && self.meter.requests.get() < MOST_REQUESTS
    }
}

impl Meter {
    /// One request was answered.
    fn answered(&self, latency: Duration) {
        self.requests.set(self.requests.get() + 1);
        if self.phase.get() == Phase::Measure {
            self.completed.set(self.completed.get() + 1);
            self.latencies.borrow_mut().push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// One read brought that many events.
    fn read(&self, events: u64) {
        if self.phase.get() == Phase::Measure {
            self.reads.set(self.reads.get() + 1);
            self.completed.set(self.completed.get() + events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_percentiles_of_any_number_of_latencies() {
        assert_eq!(percentile(&[], 99), 0.0);
        assert_eq!(percentile(&[7], 50), 7.0);
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (51.0, 100.0));
    }
}

//! Many clients side by side: no review may fail, and memory must not grow with them. Before and after it, for half as long each, the same of
//! the webhook on controller-runtime, so that a machine that slows down does so for both.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kube::Client;

use super::options::Options;
use super::stage::Stage;
use super::subject::Subject;
use crate::Attempt;
use crate::bench::figure::Figure;
use crate::bench::probe::percentile;
use crate::bench::process::{cpu_ns, largest_rss};

const BREATH: Duration = Duration::from_millis(100);

/// What one client has seen.
#[derive(Default)]
struct Seen {
    /// Of attempts that were let in, ms.
    latencies: Vec<f64>,
    failures: Vec<String>,
}

/// What became of a webhook's crowd.
#[derive(Default)]
struct Outcome {
    seen: Seen,
    seconds: f64,
    /// Of the webhook's processes, µs.
    cpu: f64,
    /// Of the largest process at the end, MiB.
    memory: f64,
}

pub(super) fn measure(stage: &Stage<'_>, options: &Options) -> Result<Vec<Figure>> {
    let (mut go, mut ours) = (Outcome::default(), Outcome::default());
    go.go_on(stage, Subject::Go, options.clients, options.crowd / 2)?;
    let reviewed = stage.reviewed()?;
    ours.go_on(stage, Subject::Ours, options.clients, options.crowd)?;
    let (allowed, asked) = (ours.seen.latencies.len() as f64, stage.reviewed()? - reviewed);
    ensure!(asked >= allowed, "the webhook was asked {asked} times for {allowed} attempts");
    go.go_on(stage, Subject::Go, options.clients, options.crowd / 2)?;
    let mut figures = vec![
        Figure::new("crowd: failed reviews", "", ours.seen.failures.len() as f64, 0.0),
        Figure::new("crowd: CPU: ours / controller-runtime", "x", ours.cpu() / go.cpu(), 0.333),
        Figure::new("crowd: memory", "MiB", ours.memory, 12.0),
    ];
    figures.extend(ours.figures());
    let failed = Figure::plain("crowd: failed reviews", "", go.seen.failures.len() as f64);
    let memory = Figure::plain("crowd: memory", "MiB", go.memory);
    figures.extend(go.figures().into_iter().chain([failed, memory]).map(|figure| figure.of(Subject::Go.name())));
    Ok(figures)
}

impl Outcome {
    fn go_on(&mut self, stage: &Stage<'_>, subject: Subject, clients: u32, seconds: u64) -> Result<()> {
        let (attempt, processes) = (stage.attempt(subject)?, stage.processes(subject));
        let before = cpu_ns(processes)?;
        let seen = stage.cluster.block_on(crowd(&attempt, &stage.cluster.client(), clients, seconds))?;
        self.cpu += cpu_ns(processes)?.saturating_sub(before) as f64 / 1000.0;
        self.memory = largest_rss(processes)?;
        self.seconds += seconds as f64;
        if let Some(failure) = seen.failures.first() {
            eprintln!("the first failure of {}: {failure}", subject.name());
        }
        self.seen.extend(seen);
        ensure!(!self.seen.latencies.is_empty(), "{} let nobody in", subject.name());
        Ok(())
    }

    /// For each attempt, whatever became of it.
    fn cpu(&self) -> f64 {
        self.cpu / (self.seen.latencies.len() + self.seen.failures.len()) as f64
    }

    fn figures(&self) -> Vec<Figure> {
        let mut sorted = self.seen.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        vec![
            Figure::plain("crowd: reviews", "/s", sorted.len() as f64 / self.seconds),
            Figure::plain("crowd: create p50", "ms", percentile(&sorted, 50)),
            Figure::plain("crowd: create p99", "ms", percentile(&sorted, 99)),
            Figure::plain("crowd: CPU per review", "us", self.cpu()),
        ]
    }
}

impl Seen {
    fn extend(&mut self, more: Self) {
        self.latencies.extend(more.latencies);
        self.failures.extend(more.failures);
    }
}

async fn crowd(attempt: &Attempt, client: &Client, clients: u32, seconds: u64) -> Result<Seen> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients: Vec<_> = (0..clients).map(|_| tokio::spawn(work(attempt.clone(), client.clone(), end))).collect();
    let mut all = Seen::default();
    for client in clients {
        all.extend(client.await?);
    }
    Ok(all)
}

async fn work(attempt: Attempt, client: Client, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        let start = Instant::now();
        let failure = match attempt.send(&client).await {
            Ok(answer) if answer.is_allowed() => {
                seen.latencies.push(start.elapsed().as_secs_f64() * 1000.0);
                continue;
            }
            Ok(answer) => format!("{} {}", answer.status, answer.message),
            Err(error) => format!("{error:#}"),
        };
        seen.failures.push(failure);
        // Nothing is to be seen by failing as fast as possible.
        tokio::time::sleep(BREATH).await;
    }
    seen
}

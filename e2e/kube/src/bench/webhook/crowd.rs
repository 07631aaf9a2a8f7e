//! Many clients side by side: no review may fail, and memory must not grow with them.

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
struct Outcome {
    /// ms, sorted.
    latencies: Vec<f64>,
    failures: Vec<String>,
    /// Of the webhook's processes for each attempt, µs.
    cpu: f64,
    /// MiB.
    memory: f64,
}

pub(super) fn measure(stage: &Stage<'_>, options: &Options) -> Result<Vec<Figure>> {
    let go = send(stage, Subject::Go, options)?;
    let reviewed = stage.reviewed()?;
    let ours = send(stage, Subject::Ours, options)?;
    let (allowed, asked) = (ours.latencies.len() as f64, stage.reviewed()? - reviewed);
    ensure!(asked >= allowed, "the webhook was asked {asked} times for {allowed} attempts");
    if let Some(failure) = ours.failures.first() {
        eprintln!("the first failure: {failure}");
    }
    let plain = |metric, unit, value| Figure::plain(metric, unit, value);
    let peers = [
        plain("crowd: reviews", "/s", go.latencies.len() as f64 / options.crowd as f64),
        plain("crowd: failed reviews", "", go.failures.len() as f64),
        plain("crowd: CPU per review", "us", go.cpu),
        plain("crowd: memory", "MiB", go.memory),
    ];
    let own = [
        plain("crowd: clients", "", f64::from(options.clients)),
        plain("crowd: reviews", "/s", allowed / options.crowd as f64),
        Figure::new("crowd: failed reviews", "", ours.failures.len() as f64, 0.0),
        plain("crowd: create p50", "ms", percentile(&ours.latencies, 50)),
        plain("crowd: create p99", "ms", percentile(&ours.latencies, 99)),
        // Most of it is handshakes, whatever the webhook: an API server keeps few connections for so many reviews at once.
        plain("crowd: CPU per review", "us", ours.cpu),
        Figure::new("crowd: CPU: ours / controller-runtime", "x", ours.cpu / go.cpu, 0.333),
        Figure::new("crowd: memory", "MiB", ours.memory, 12.0),
    ];
    Ok(peers.into_iter().map(|figure| figure.of(Subject::Go.name())).chain(own).collect())
}

fn send(stage: &Stage<'_>, subject: Subject, options: &Options) -> Result<Outcome> {
    let (attempt, processes) = (stage.attempt(subject)?, stage.processes(subject));
    let before = cpu_ns(processes)?;
    let seen = stage.cluster.block_on(crowd(&attempt, &stage.cluster.client(), options))?;
    let cpu = cpu_ns(processes)?.saturating_sub(before) as f64 / 1000.0 / (seen.latencies.len() as f64).max(1.0);
    let mut latencies = seen.latencies;
    latencies.sort_by(f64::total_cmp);
    Ok(Outcome { latencies, failures: seen.failures, cpu, memory: largest_rss(processes)? })
}

async fn crowd(attempt: &Attempt, client: &Client, options: &Options) -> Result<Seen> {
    let end = Instant::now() + Duration::from_secs(options.crowd);
    let clients: Vec<_> = (0..options.clients).map(|_| tokio::spawn(work(attempt.clone(), client.clone(), end))).collect();
    let mut all = Seen::default();
    for client in clients {
        let seen = client.await?;
        all.latencies.extend(seen.latencies);
        all.failures.extend(seen.failures);
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

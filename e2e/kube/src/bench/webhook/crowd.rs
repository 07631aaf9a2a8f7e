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

pub(super) fn measure(stage: &Stage<'_>, options: &Options) -> Result<Vec<Figure>> {
    let attempt = stage.attempt(Subject::Ours)?;
    let processes = stage.processes(Subject::Ours);
    let before = (cpu_ns(processes)?, stage.reviewed()?);
    let seen = stage.cluster.block_on(crowd(&attempt, &stage.cluster.client(), options))?;
    let after = (cpu_ns(processes)?, stage.reviewed()?);
    let allowed = seen.latencies.len() as f64;
    ensure!(after.1 - before.1 >= allowed, "the webhook was asked {} times for {allowed} attempts", after.1 - before.1);
    if let Some(failure) = seen.failures.first() {
        eprintln!("the first failure: {failure}");
    }
    let mut sorted = seen.latencies;
    sorted.sort_by(f64::total_cmp);
    let cpu = after.0.saturating_sub(before.0) as f64 / 1000.0 / allowed.max(1.0);
    Ok(vec![
        Figure::plain("crowd: clients", "", f64::from(options.clients)),
        Figure::plain("crowd: reviews", "/s", allowed / options.crowd as f64),
        Figure::new("crowd: failed reviews", "", seen.failures.len() as f64, 0.0),
        Figure::plain("crowd: create p50", "ms", percentile(&sorted, 50)),
        Figure::plain("crowd: create p99", "ms", percentile(&sorted, 99)),
        Figure::new("crowd: CPU per review", "us", cpu, 120.0),
        Figure::new("crowd: memory", "MiB", largest_rss(processes)?, 12.0),
    ])
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

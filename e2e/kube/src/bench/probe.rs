//! The probe: each route is applied, then asked for every millisecond while it is not found.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use keyward_e2e::{Connection, Request};

use super::figure::Figure;
use super::lab::Lab;

const GRAIN: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// As slow as no answer may be.
const SLOWEST_MS: f64 = 75.0;
/// Routes at each end that are compared.
const ENDS: usize = 100;

/// One route after the other.
pub(super) fn measure(lab: &Lab<'_>, routes: u32) -> Result<Vec<Figure>> {
    let mut probe = Probe { lab, connection: None, wrong: 0 };
    let mut latencies = Vec::new();
    for nth in 0..routes {
        lab.put(nth, "added-value")?;
        let latency = probe.until_found(nth)?.as_secs_f64() * 1000.0;
        tell_if_slow(nth, latency);
        latencies.push(latency);
        if (nth + 1) % 500 == 0 {
            eprintln!("{} of {routes} routes", nth + 1);
        }
    }
    Ok(figures(&latencies, probe.wrong))
}

struct Probe<'l, 'c> {
    lab: &'l Lab<'c>,
    connection: Option<Connection>,
    /// Answers that were neither 404 nor 200, and requests without an answer.
    wrong: u32,
}

impl Probe<'_, '_> {
    fn until_found(&mut self, nth: u32) -> Result<Duration> {
        let request = Request::get(&format!("/{nth}")).header("Host", &format!("{nth}-route.example.com"));
        let start = Instant::now();
        loop {
            match self.ask(&request) {
                Ok(200) => return Ok(start.elapsed()),
                Ok(404) => {}
                other => {
                    eprintln!("route {nth}: a wrong answer: {other:?}");
                    self.wrong += 1;
                }
            }
            ensure!(start.elapsed() < PATIENCE, "route {nth} is not served");
            std::thread::sleep(GRAIN);
        }
    }

    fn ask(&mut self, request: &Request) -> Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.lab.address)?,
        };
        let answer = connection.exchange(request)?;
        if answer.complete && answer.head.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer.status)
    }
}

/// With the time of day, by which logs and the audit log can be searched.
fn tell_if_slow(nth: u32, latency: f64) {
    if latency > SLOWEST_MS {
        eprintln!("{} route {nth}: {latency:.0} ms", k8s_openapi::jiff::Timestamp::now());
    }
}

fn figures(latencies: &[f64], wrong: u32) -> Vec<Figure> {
    let mut sorted = latencies.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (mean(latencies.iter().take(ENDS)), mean(latencies.iter().rev().take(ENDS)));
    vec![
        Figure::new("propagation: mean", "ms", mean(latencies.iter()), 12.0),
        Figure::new("propagation: max", "ms", sorted.last().copied().unwrap_or_default(), SLOWEST_MS),
        Figure::plain("propagation: p50", "ms", percentile(&sorted, 50)),
        Figure::plain("propagation: p99", "ms", percentile(&sorted, 99)),
        Figure::new("propagation: last 100 / first 100", "x", last / first, 1.3),
        Figure::new("propagation: wrong answers", "", f64::from(wrong), 0.0),
    ]
}

fn mean<'v>(values: impl Iterator<Item = &'v f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

/// The smallest value that is not below so many per cent of all.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_rank() {
        let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 99), percentile(&[], 50)), (100.0, 198.0, 0.0));
    }

    #[test]
    fn compares_the_ends() {
        let mut latencies = vec![10.0; 200];
        latencies.extend([20.0; 100]);
        let figures = figures(&latencies, 0);
        assert_eq!(figures.iter().find(|figure| figure.unit == "x").unwrap().value, 2.0);
    }
}

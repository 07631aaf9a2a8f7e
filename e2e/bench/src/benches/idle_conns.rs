//! What a connection weighs that has been used once and now idles.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::contenders;
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::Plan;
use crate::subject::{Kind, Subject};
use crate::table::{Outcome, Target};

pub(super) const NAME: &str = "idle-conns";

const METRIC: (&str, &str) = ("rss_per_connection", "KiB");
/// What allocators get to give back what a burst took.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let count = lab.options.idle_connections;
    let mut outcome = Outcome::new(NAME, format!("growth of VmRSS by {count} connections after one request on each, once"));
    for kind in [Kind::Ours, Kind::Nginx, Kind::Haproxy, Kind::Envoy] {
        if let Some(subject) = Subject::start(lab, kind, kind.label(), Plan::ONE)? {
            let each = weigh(lab, &subject).with_context(|| subject.label.clone())?;
            outcome.row(&subject.label, METRIC, each, None);
        }
    }
    let weight = |kind: Kind| outcome.rows.iter().find(|row| row.subject == kind.label()).map(|row| row.value);
    if let (Some(ours), Some(envoy)) = (weight(Kind::Ours), weight(Kind::Envoy)) {
        outcome.row("envoy/ours", (METRIC.0, "ratio"), envoy / ours, Some(Target::at_least(2.5).later()));
    }
    outcome.ask("ours", METRIC.0, Target::at_most(6.0).later());
    Ok(outcome)
}

/// KiB for each connection, over what the subject weighs once it has warmed up.
fn weigh(lab: &Lab, subject: &Subject) -> Result<f64> {
    let mut warm_up = contenders(lab, std::slice::from_ref(subject), Mode::KeepAlive, Plan::ONE)?.swap_remove(0).connections(64);
    warm_up.job.measure_ms = 1_000;
    lab.load(&warm_up.job).context("warm-up")?;
    thread::sleep(SETTLE);
    let before = subject.rss_mib()?;
    let mut idle = warm_up.connections(lab.options.idle_connections);
    idle.job.mode = Mode::Idle;
    let held = lab.hold(&idle.job)?;
    thread::sleep(SETTLE);
    let grown = subject.rss_mib()? - before;
    let report = held.finish()?;
    anyhow::ensure!(report.completed == 2 * u64::from(lab.options.idle_connections), "not every connection was used twice");
    Ok(grown * 1024.0 / f64::from(lab.options.idle_connections))
}

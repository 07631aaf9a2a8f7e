//! Resident memory of one route, and of thousands that each have a Service and an endpoint of their own.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::RSS;
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::{Plan, Routes};
use crate::rounds::Contender;
use crate::subject::{Kind, Subject};
use crate::table::{Outcome, Target};

pub(super) const NAME: &str = "route-memory";

const ROUTES: u32 = 5_000;
/// What allocators get to give back what starting took.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let mut outcome =
        Outcome::new(NAME, format!("VmRSS, {ROUTES} routes with a Service and an endpoint each, after a second of requests to the last"));
    let mut many = Vec::new();
    for kind in [Kind::Ours, Kind::Envoy] {
        if let Some((idle, full)) = weigh(lab, kind)? {
            outcome.row(kind.label(), ("rss_idle_one_route", "MiB"), idle, None);
            outcome.row(&label(kind), RSS, full, None);
            outcome.row(&label(kind), ("rss_per_route", "KiB"), (full - idle) * 1024.0 / f64::from(ROUTES), None);
            many.push(full);
        }
    }
    outcome.ask("ours", "rss_idle_one_route", Target::at_most(12.0));
    outcome.ask(&label(Kind::Ours), "rss", Target::at_most(25.0));
    if let [ours, envoy] = many[..] {
        outcome.row("envoy/ours", ("rss", "ratio"), envoy / ours, Some(Target::at_least(15.0).later()));
    }
    Ok(outcome)
}

fn label(kind: Kind) -> String {
    format!("{}@{ROUTES}", kind.label())
}

/// MiB with one route, which nobody has asked for yet, and with all.
fn weigh(lab: &Lab, kind: Kind) -> Result<Option<(f64, f64)>> {
    let Some(one) = Subject::start(lab, kind, kind.label(), Plan::ONE)? else { return Ok(None) };
    thread::sleep(SETTLE);
    let idle = one.rss_mib()?;
    drop(one);
    let plan = Plan::of(Routes::Own(ROUTES));
    let subject = Subject::start(lab, kind, &label(kind), plan)?.context("it was there a moment ago")?;
    let mut contender = Contender::new(lab, &subject, Mode::KeepAlive, &plan.routes.last_path(), false)?.connections(8);
    // These routes set no headers: the client sends them.
    contender.job.dressed = true;
    contender.job.measure_ms = 1_000;
    lab.load(&contender.job).with_context(|| label(kind))?;
    thread::sleep(SETTLE);
    Ok(Some((idle, subject.rss_mib()?)))
}

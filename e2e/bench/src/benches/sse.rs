//! CPU per event of streams as models send them: 48 at once, 100 events per second each, passed on one by one; ours counts tokens.

use anyhow::Result;

use super::{contenders, start};
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::Plan;
use crate::rounds::{self, Contender, DIRECT};
use crate::subject::Kind;
use crate::table::{Metric, Outcome, Target};

pub(super) const NAME: &str = "sse";

const STREAMS: u32 = 48;
const CPU: Metric = Metric { name: "cpu_us_per_event", unit: "us", pick: |sample| sample.cpu_us };
const RATE: Metric = Metric { name: "events_per_second", unit: "1/s", pick: |sample| sample.rate };
const READS: Metric = Metric { name: "reads_per_event", unit: "1", pick: |sample| sample.reads };

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let plan = Plan { streaming: true, ..Plan::ONE };
    let subjects = start(lab, &[Kind::OursAi, Kind::Ours, Kind::Nginx, Kind::Haproxy, Kind::Envoy], plan)?;
    let all: Vec<Contender> =
        contenders(lab, &subjects, Mode::Stream, plan)?.into_iter().map(|contender| contender.connections(STREAMS)).collect();
    let series = rounds::series(lab, &all)?;
    let mut outcome = Outcome::new(NAME, format!("{STREAMS} streams of 100 events/s; {}", series.note()));
    outcome.series(&series, CPU);
    outcome.ratio(&series, ("ours-ai", "nginx"), CPU, Target::at_most(1.5));
    outcome.ratio(&series, ("envoy", "ours-ai"), CPU, Target::at_least(1.4).later());
    outcome.series(&series, RATE);
    outcome.series(&series, READS);
    if let Some(reads) = series.value(DIRECT, READS.pick) {
        outcome.row(DIRECT, (READS.name, READS.unit), reads, None);
    }
    outcome.ask("ours-ai", READS.name, Target::near(1.0, 0.01));
    Ok(outcome)
}

//! CPU per request on the main path: one prefix route, path rewritten, a header and the credential set, metrics on; 32 connections,
//! 250 bytes there, 1 KB back.

use anyhow::Result;

use super::{CPU_PER_REQUEST, P50, P99, RATE, RSS, contenders, start};
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::Plan;
use crate::rounds;
use crate::subject::Kind;
use crate::table::{Outcome, Target};

pub(super) const NAME: &str = "http1-cpu";

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let subjects = start(lab, &Kind::ALL, Plan::ONE)?;
    let series = rounds::series(lab, &contenders(lab, &subjects, Mode::KeepAlive, Plan::ONE)?)?;
    let mut outcome = Outcome::new(NAME, format!("POST, 32 connections, rewrite, header and credential set; {}", series.note()));
    outcome.series(&series, CPU_PER_REQUEST);
    outcome.ratio(&series, ("ours", "nginx"), CPU_PER_REQUEST, Target::at_most(1.25));
    outcome.ratio(&series, ("envoy", "ours"), CPU_PER_REQUEST, Target::at_least(3.0));
    outcome.ratio(&series, ("ours-ai", "nginx"), CPU_PER_REQUEST, Target::at_most(1.8));
    for metric in [RATE, P50, P99] {
        outcome.series(&series, metric);
    }
    for subject in &subjects {
        outcome.row(&subject.label, RSS, subject.rss_mib()?, None);
    }
    Ok(outcome)
}

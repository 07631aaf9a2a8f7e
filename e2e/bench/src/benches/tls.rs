//! TLS 1.3 with a P-256 certificate: CPU per new connection (full handshake, one request, close), and per request on one that is kept.

use anyhow::Result;

use super::{CPU_PER_REQUEST, start};
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::Plan;
use crate::rounds::{self, Contender, Series};
use crate::subject::{Kind, Subject};
use crate::table::{Metric, Outcome, Target};

pub(super) const NAME: &str = "tls";

const CPU: Metric = Metric { name: "cpu_us_per_handshake", unit: "us", pick: |sample| sample.cpu_us };
const RATE: Metric = Metric { name: "handshakes_per_second", unit: "1/s", pick: |sample| sample.rate };

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let plan = Plan { tls: true, ..Plan::ONE };
    let subjects = start(lab, &[Kind::Ours, Kind::Nginx, Kind::Haproxy, Kind::Envoy], plan)?;
    let (handshakes, kept) = (series(lab, &subjects, Mode::Close)?, series(lab, &subjects, Mode::KeepAlive)?);
    let note = format!("handshakes: {}; kept connections: {}", handshakes.note(), kept.note());
    let mut outcome = Outcome::new(NAME, note);
    outcome.series(&handshakes, CPU);
    outcome.ask("ours", CPU.name, Target::at_most(330.0).later());
    outcome.ratio(&handshakes, ("nginx", "ours"), CPU, Target::at_least(1.45).later());
    outcome.ratio(&handshakes, ("envoy", "ours"), CPU, Target::at_least(1.2).later());
    outcome.series(&handshakes, RATE);
    outcome.series(&kept, CPU_PER_REQUEST);
    outcome.ratio(&kept, ("ours", "nginx"), CPU_PER_REQUEST, Target::at_most(1.35).later());
    Ok(outcome)
}

fn series(lab: &Lab, subjects: &[Subject], mode: Mode) -> Result<Series> {
    let path = Plan::ONE.routes.last_path();
    let all: Vec<Contender> = subjects.iter().map(|subject| Contender::new(lab, subject, mode, &path, true)).collect::<Result<_>>()?;
    rounds::series(lab, &all)
}

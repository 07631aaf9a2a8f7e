//! The benches, by name. Each starts its subjects, loads them in rounds, and says what was found and what was asked.

mod http1_cpu;
mod idle_conns;
mod route_match;
mod route_memory;
mod sse;
mod tls;

use anyhow::Result;

use crate::job::Mode;
use crate::lab::Lab;
use crate::options::Options;
use crate::plan::Plan;
use crate::rounds::Contender;
use crate::subject::{Kind, Subject};
use crate::table::{Metric, Outcome};

/// A bench.
pub type Run = fn(&Lab) -> Result<Outcome>;

/// All benches, in the order in which they run.
const BENCHES: [(&str, Run); 6] = [
    (http1_cpu::NAME, http1_cpu::run),
    (route_match::NAME, route_match::run),
    (route_memory::NAME, route_memory::run),
    (sse::NAME, sse::run),
    (idle_conns::NAME, idle_conns::run),
    (tls::NAME, tls::run),
];

/// Their names.
pub const NAMES: [&str; 6] = [http1_cpu::NAME, route_match::NAME, route_memory::NAME, sse::NAME, idle_conns::NAME, tls::NAME];

const CPU_PER_REQUEST: Metric = Metric { name: "cpu_us_per_request", unit: "us", pick: |sample| sample.cpu_us };
const RATE: Metric = Metric { name: "requests_per_second", unit: "1/s", pick: |sample| sample.rate };
const P50: Metric = Metric { name: "latency_p50", unit: "us", pick: |sample| sample.p50_us };
const P99: Metric = Metric { name: "latency_p99", unit: "us", pick: |sample| sample.p99_us };
const RSS: (&str, &str) = ("rss", "MiB");

/// Those that were asked for.
pub fn chosen(options: &Options) -> impl Iterator<Item = (&'static str, Run)> {
    BENCHES.into_iter().filter(|(name, _)| options.only.is_empty() || options.only.iter().any(|only| only == name))
}

/// Starts one subject of each kind on the same plan; peers that may be left out are.
fn start(lab: &Lab, kinds: &[Kind], plan: Plan) -> Result<Vec<Subject>> {
    let started = kinds.iter().map(|kind| Subject::start(lab, *kind, kind.label(), plan));
    started.filter_map(Result::transpose).collect()
}

/// The same load for each subject: on its plain port, hitting the plan's last route.
fn contenders(lab: &Lab, subjects: &[Subject], mode: Mode, plan: Plan) -> Result<Vec<Contender>> {
    let path = plan.routes.last_path();
    subjects.iter().map(|subject| Contender::new(lab, subject, mode, &path, false)).collect()
}

//! Interleaved rounds: every contender in turn, the order rotated, the direct way in each; noisy rounds dropped; medians of what is left.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::job::{Job, Mode, Report};
use crate::lab::Lab;
use crate::payload::UPSTREAM_PATH;
use crate::procfs::MachineTime;
use crate::subject::Subject;

/// The contender that goes to the backend without a proxy.
pub const DIRECT: &str = "direct";
/// A round is dropped when the direct rate is further than this from the median of all rounds, ...
const DRIFT: f64 = 0.20;
/// ... or when the hypervisor gave more than this share of the machine to others.
const STEAL: f64 = 0.02;
/// Milliseconds of warm-up of each load.
const WARM_UP_MS: u64 = 1_000;

/// A load with a name.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Name in tables.
    pub label: String,
    /// What is sent.
    pub job: Job,
}

/// What one load measured.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// CPU time of the subject for each unit of work, microseconds.
    pub cpu_us: f64,
    /// Units of work per second.
    pub rate: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency, microseconds.
    pub p99_us: f64,
    /// Reads for each unit of work, where they are counted.
    pub reads: f64,
}

/// The rounds that were kept.
#[derive(Debug)]
pub struct Series {
    /// Contenders in the order given, the direct one aside.
    pub labels: Vec<String>,
    rounds: Vec<Round>,
    run: usize,
    noisy: bool,
}

#[derive(Clone, Debug)]
struct Round {
    samples: BTreeMap<String, Sample>,
    stolen: f64,
}

impl Contender {
    /// A load on a subject's plain port, or on its TLS port.
    pub fn new(lab: &Lab, subject: &Subject, mode: Mode, path: &str, tls: bool) -> Result<Self> {
        let port = if tls { subject.https.context("a subject without a TLS port")? } else { subject.http };
        let job = Job {
            mode,
            address: crate::process::local(port),
            path: path.to_owned(),
            dressed: false,
            ca: tls.then(|| lab.certificate.chain_file.clone()),
            connections: 32,
            warmup_ms: WARM_UP_MS,
            measure_ms: lab.options.seconds * 1_000,
            pids: subject.pids.clone(),
        };
        Ok(Self { label: subject.label.clone(), job })
    }

    /// With that many connections.
    pub fn connections(mut self, connections: u32) -> Self {
        self.job.connections = connections;
        self
    }

    fn direct(lab: &Lab, like: &Self) -> Self {
        let job = Job { address: lab.backend, path: UPSTREAM_PATH.into(), dressed: true, ca: None, pids: Vec::new(), ..like.job.clone() };
        Self { label: DIRECT.into(), job }
    }
}

/// Runs all contenders until enough rounds are good, or twice as many were run.
pub fn series(lab: &Lab, contenders: &[Contender]) -> Result<Series> {
    let wanted = lab.options.rounds as usize;
    let mut all: Vec<Contender> = contenders.iter().take(1).map(|first| Contender::direct(lab, first)).collect();
    all.extend_from_slice(contenders);
    let mut rounds = Vec::new();
    while good(&rounds).len() < wanted && rounds.len() < 2 * wanted {
        rounds.push(round(lab, &all, rounds.len())?);
        eprintln!("  round {}: {} of {wanted} kept", rounds.len(), good(&rounds).len());
    }
    let (run, kept) = (rounds.len(), good(&rounds));
    let noisy = kept.len() * 2 < wanted;
    let labels = contenders.iter().map(|contender| contender.label.clone()).collect();
    Ok(Series { labels, rounds: if noisy { rounds } else { kept }, run, noisy })
}

fn round(lab: &Lab, all: &[Contender], nth: usize) -> Result<Round> {
    let started = MachineTime::now()?;
    let mut samples = BTreeMap::new();
    for turn in 0..all.len() {
        let contender = &all[(turn + nth) % all.len()];
        let report = lab.load(&contender.job).with_context(|| contender.label.clone())?;
        samples.insert(contender.label.clone(), Sample::of(&report));
    }
    Ok(Round { samples, stolen: MachineTime::now()?.stolen_since(&started) })
}

fn good(rounds: &[Round]) -> Vec<Round> {
    let direct = |round: &Round| round.samples.get(DIRECT).map_or(0.0, |sample| sample.rate);
    let usual = median(rounds.iter().map(direct).collect()).unwrap_or(0.0);
    let is_good = |round: &&Round| round.stolen <= STEAL && (direct(round) - usual).abs() <= DRIFT * usual;
    rounds.iter().filter(is_good).cloned().collect()
}

impl Sample {
    fn of(report: &Report) -> Self {
        let completed = report.completed as f64;
        Self {
            cpu_us: report.cpu_ns as f64 / 1_000.0 / completed,
            rate: completed / report.seconds,
            p50_us: report.p50_us,
            p99_us: report.p99_us,
            reads: report.reads as f64 / completed,
        }
    }
}

impl Series {
    /// The median of a contender's rounds; `None` when it did not take part.
    pub fn value(&self, label: &str, pick: fn(&Sample) -> f64) -> Option<f64> {
        median(self.rounds.iter().filter_map(|round| round.samples.get(label).map(pick)).collect())
    }

    /// The median of the rounds' ratios.
    pub fn ratio(&self, above: &str, below: &str, pick: fn(&Sample) -> f64) -> Option<f64> {
        let ratio = |round: &Round| Some(pick(round.samples.get(above)?) / pick(round.samples.get(below)?));
        median(self.rounds.iter().filter_map(ratio).collect())
    }

    /// How many rounds there were, and whether to trust them.
    pub fn note(&self) -> String {
        let dropped = self.run - self.rounds.len();
        match self.noisy {
            true => format!("NOISY: too few of {} rounds were quiet, all are counted", self.run),
            false => format!("{} rounds, {dropped} dropped as noisy", self.run),
        }
    }
}

/// The middle of the values, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(direct: f64, ours: f64, theirs: f64, stolen: f64) -> Round {
        let sample = |rate, cpu_us| Sample { cpu_us, rate, p50_us: 0.0, p99_us: 0.0, reads: 0.0 };
        let samples = [(DIRECT, sample(direct, 0.0)), ("ours", sample(1.0, ours)), ("theirs", sample(1.0, theirs))];
        Round { samples: samples.map(|(label, sample)| (label.to_owned(), sample)).into(), stolen }
    }

    #[test]
    fn drops_rounds_in_which_the_machine_was_another() {
        let rounds = [round(100.0, 1.0, 1.0, 0.0), round(110.0, 1.0, 1.0, 0.0), round(70.0, 1.0, 1.0, 0.0), round(100.0, 1.0, 1.0, 0.03)];
        assert_eq!(good(&rounds).len(), 2);
    }

    #[test]
    fn takes_ratios_within_rounds_before_their_median() {
        let rounds = vec![round(1.0, 10.0, 10.0, 0.0), round(1.0, 20.0, 40.0, 0.0), round(1.0, 30.0, 10.0, 0.0)];
        let series = Series { labels: Vec::new(), rounds, run: 3, noisy: false };
        assert_eq!(series.ratio("ours", "theirs", |sample| sample.cpu_us), Some(1.0));
        assert_eq!(series.value("ours", |sample| sample.cpu_us), Some(20.0));
        assert_eq!(series.ratio("ours", "absent", |sample| sample.cpu_us), None);
    }

    #[test]
    fn has_no_median_of_nothing() {
        assert_eq!((median(vec![]), median(vec![3.0, 1.0]), median(vec![9.0, 1.0, 2.0])), (None, Some(2.0), Some(2.0)));
    }
}

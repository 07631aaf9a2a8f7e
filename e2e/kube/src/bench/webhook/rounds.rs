//! One client, one attempt after the other: what each subject adds to the time of a create, and its CPU time for each review. The subjects
//! have their turns in every round, in another order each time, so that what disturbs the machine disturbs all of them.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::options::Options;
use super::stage::Stage;
use super::subject::Subject;
use crate::api_server;
use crate::bench::figure::Figure;
use crate::bench::probe::percentile;
use crate::bench::process::{cpu_ns, largest_rss};

const WARM_UP: u32 = 50;

/// One turn.
#[derive(Clone, Debug, Default)]
struct Turn {
    /// Of each attempt, ms.
    latencies: Vec<f64>,
    /// Of the subject's processes for each attempt, µs.
    own_cpu: f64,
    /// Of the API server for each attempt, µs.
    api_server_cpu: f64,
}

/// All turns of each.
type Turns = BTreeMap<Subject, Vec<Turn>>;

pub(super) fn measure(stage: &Stage<'_>, options: &Options) -> Result<Vec<Figure>> {
    for subject in Subject::ALL {
        turn(stage, subject, WARM_UP)?;
    }
    let mut turns = Turns::new();
    for round in 0..options.rounds {
        let mut order = Subject::ALL;
        order.rotate_left(round as usize % Subject::ALL.len());
        for subject in order {
            turns.entry(subject).or_default().push(turn(stage, subject, options.attempts)?);
        }
        eprintln!("{} of {} rounds", round + 1, options.rounds);
    }
    let mut figures: Vec<Figure> = Subject::ALL.into_iter().flat_map(|subject| of_one(&turns, subject)).collect();
    figures.extend(compared(&turns));
    figures.push(Figure::plain("memory after the rounds", "MiB", largest_rss(stage.processes(Subject::Go))?).of(Subject::Go.name()));
    figures.push(Figure::new("memory after the rounds", "MiB", largest_rss(stage.processes(Subject::Ours))?, 12.0));
    Ok(figures)
}

fn turn(stage: &Stage<'_>, subject: Subject, attempts: u32) -> Result<Turn> {
    let (own, server) = (stage.processes(subject), [api_server()?]);
    let before = (cpu_ns(own)?, cpu_ns(&server)?);
    let latencies = latencies(stage, subject, attempts)?;
    let after = (cpu_ns(own)?, cpu_ns(&server)?);
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1000.0 / f64::from(attempts);
    Ok(Turn { latencies, own_cpu: each(before.0, after.0), api_server_cpu: each(before.1, after.1) })
}

fn latencies(stage: &Stage<'_>, subject: Subject, attempts: u32) -> Result<Vec<f64>> {
    let (attempt, client) = (stage.attempt(subject)?, stage.cluster.client());
    stage.cluster.block_on(async {
        let mut latencies = Vec::new();
        for _ in 0..attempts {
            let start = Instant::now();
            let answer = attempt.send(&client).await?;
            latencies.push(start.elapsed().as_secs_f64() * 1000.0);
            ensure!(answer.is_allowed(), "{}: {answer:?}", subject.name());
        }
        Ok(latencies)
    })
}

fn of_one(turns: &Turns, subject: Subject) -> Vec<Figure> {
    let time = |percent| (pooled(turns, subject, percent), pooled(turns, subject, percent) - pooled(turns, Subject::Nobody, percent));
    let ((p50, added_p50), (p99, added_p99)) = (time(50), time(99));
    let ours = subject == Subject::Ours;
    let added = |metric, value, target| if ours { Figure::new(metric, "ms", value, target) } else { Figure::plain(metric, "ms", value) };
    let mut figures = vec![
        Figure::plain("create p50", "ms", p50),
        Figure::plain("create p99", "ms", p99),
        Figure::plain("API server CPU per create", "us", median(turns, subject, |turn| turn.api_server_cpu)),
    ];
    if subject != Subject::Nobody {
        figures.extend([added("added p50", added_p50, 1.0), added("added p99", added_p99, 3.0)]);
    }
    let cpu = median(turns, subject, |turn| turn.own_cpu);
    match subject {
        Subject::Nobody | Subject::Policy => {}
        Subject::Go => figures.push(Figure::plain("CPU per review", "us", cpu)),
        Subject::Ours => figures.push(Figure::new("CPU per review", "us", cpu, 120.0)),
    }
    figures.into_iter().map(|figure| figure.of(subject.name())).collect()
}

fn compared(turns: &Turns) -> Vec<Figure> {
    let cpu = |subject| median(turns, subject, |turn| turn.own_cpu);
    let p99 = |subject| pooled(turns, subject, 99);
    vec![
        Figure::new("CPU: ours / controller-runtime", "x", cpu(Subject::Ours) / cpu(Subject::Go), 0.333),
        Figure::new("p99: ours - admission policy", "ms", p99(Subject::Ours) - p99(Subject::Policy), 1.5),
    ]
}

/// Of all turns together.
fn pooled(turns: &Turns, subject: Subject, percent: usize) -> f64 {
    let mut all: Vec<f64> = turns.get(&subject).into_iter().flatten().flat_map(|turn| turn.latencies.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    percentile(&all, percent)
}

/// Of the turns' values.
fn median(turns: &Turns, subject: Subject, value: impl Fn(&Turn) -> f64) -> f64 {
    let mut values: Vec<f64> = turns.get(&subject).into_iter().flatten().map(value).collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_told_beside_what_a_create_costs_by_itself() {
        let turn = |latency: f64, own_cpu: f64| Turn { latencies: vec![latency; 10], own_cpu, api_server_cpu: 1.0 };
        let turns = Turns::from([
            (Subject::Nobody, vec![turn(2.0, 0.0)]),
            (Subject::Ours, vec![turn(2.5, 90.0), turn(2.5, 100.0), turn(2.5, 300.0)]),
        ]);
        let figures = of_one(&turns, Subject::Ours);
        let value = |metric: &str| figures.iter().find(|figure| figure.metric == metric).unwrap().value;
        assert_eq!((value("added p50"), value("CPU per review")), (0.5, 100.0));
    }
}

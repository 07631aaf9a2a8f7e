//! What a route costs when there are many on one host: the last of them is hit.

use anyhow::Result;

use super::{CPU_PER_REQUEST, contenders};
use crate::job::Mode;
use crate::lab::Lab;
use crate::plan::{Plan, Routes};
use crate::rounds;
use crate::subject::{Kind, Subject};
use crate::table::{Outcome, Target};

pub(super) const NAME: &str = "route-match";

/// Who serves how many routes. Ours with one route comes first: the others are told as multiples of it.
const SUBJECTS: [(Kind, &[u32]); 4] =
    [(Kind::Ours, &[1, 100, 1_000, 10_000]), (Kind::Nginx, &[1, 1_000]), (Kind::Haproxy, &[1, 1_000]), (Kind::Envoy, &[1, 1_000])];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let (mut subjects, mut all) = (Vec::new(), Vec::new());
    for (kind, count) in SUBJECTS.into_iter().flat_map(|(kind, counts)| counts.iter().map(move |count| (kind, *count))) {
        let plan = Plan::of(Routes::Prefixes(count));
        if let Some(subject) = Subject::start(lab, kind, &format!("{}@{count}", kind.label()), plan)? {
            all.extend(contenders(lab, std::slice::from_ref(&subject), Mode::KeepAlive, plan)?);
            subjects.push(subject);
        }
    }
    let series = rounds::series(lab, &all)?;
    let mut outcome = Outcome::new(NAME, format!("last of so many prefixes on one host; {}", series.note()));
    outcome.series(&series, CPU_PER_REQUEST);
    outcome.ratio(&series, ("ours@10000", "ours@1"), CPU_PER_REQUEST, Target::at_most(1.05));
    outcome.ratio(&series, ("envoy@1000", "ours@1000"), CPU_PER_REQUEST, Target::at_least(3.5));
    Ok(outcome)
}

//! `results.json`: a list of numbers, one per line. A run replaces the numbers of the benches it ran and keeps the others'.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::table::{Outcome, Row};

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    bench: String,
    subject: String,
    metric: String,
    unit: String,
    value: f64,
}

/// Writes an outcome into the file.
pub fn merge(file: &Path, outcome: &Outcome) -> Result<()> {
    let known: Vec<Entry> = match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is not ours: move it away", file.display()))?,
        Err(_) => Vec::new(),
    };
    fs::write(file, text(&merged(known, outcome))?).with_context(|| file.display().to_string())
}

fn merged(known: Vec<Entry>, outcome: &Outcome) -> Vec<Entry> {
    let others = known.into_iter().filter(|entry| entry.bench != outcome.bench);
    others.chain(outcome.rows.iter().map(|row| entry(outcome.bench, row))).collect()
}

fn entry(bench: &str, row: &Row) -> Entry {
    let (subject, metric, unit) = (row.subject.clone(), row.metric.to_owned(), row.unit.to_owned());
    Entry { bench: bench.to_owned(), subject, metric, unit, value: row.value }
}

fn text(entries: &[Entry]) -> Result<String> {
    let lines = entries.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_bench_and_keeps_the_others() {
        let outcome = |bench, value| {
            let mut outcome = Outcome::new(bench, "");
            outcome.row("ours", ("cpu", "us"), value, None);
            outcome
        };
        let known = merged(merged(Vec::new(), &outcome("sse", 1.0)), &outcome("tls", 2.0));
        let known = merged(known, &outcome("sse", 3.0));
        assert_eq!(known.iter().map(|entry| (entry.bench.as_str(), entry.value)).collect::<Vec<_>>(), [("tls", 2.0), ("sse", 3.0)]);
        assert_eq!(serde_json::from_str::<Vec<Entry>>(&text(&known).unwrap()).unwrap(), known);
    }
}

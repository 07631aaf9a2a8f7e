//! The file with all measured numbers, which other benchmarks write as well: one JSON object per line. A figure replaces the one of
//! its name, of the same bench and the same subject.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figure::Figure;
use crate::part::root;

/// One number, as every benchmark writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    bench: String,
    subject: String,
    metric: String,
    unit: String,
    value: f64,
}

/// Where it is.
pub(super) fn file() -> PathBuf {
    root().join("target/bench/results.json")
}

/// Puts figures of a bench into the file.
pub(super) fn merge(bench: &str, figures: &[Figure]) -> Result<()> {
    let file = file();
    let known = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is not ours: move it away", file.display()))?,
        Err(_) => Vec::new(),
    };
    std::fs::create_dir_all(file.with_file_name(""))?;
    let lines = merged(known, bench, figures).iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    std::fs::write(&file, format!("[\n{}\n]\n", lines.join(",\n"))).with_context(|| file.display().to_string())
}

fn merged(known: Vec<Entry>, bench: &str, figures: &[Figure]) -> Vec<Entry> {
    let is_of = |figure: &Figure, entry: &Entry| figure.metric == entry.metric && figure.subject == entry.subject;
    let replaced = |entry: &Entry| entry.bench == bench && figures.iter().any(|figure| is_of(figure, entry));
    let kept = known.into_iter().filter(|entry| !replaced(entry));
    kept.chain(figures.iter().map(|figure| entry(bench, figure))).collect()
}

fn entry(bench: &str, figure: &Figure) -> Entry {
    let (subject, metric, unit) = (figure.subject.to_owned(), figure.metric.to_owned(), figure.unit.to_owned());
    Entry { bench: bench.to_owned(), subject, metric, unit, value: figure.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_figure_and_keeps_the_others() {
        let a = |value| Figure::plain("a", "ms", value);
        let known = merged(Vec::new(), "probe", &[a(1.0), Figure::plain("b", "ms", 2.0), a(4.0).of("another")]);
        let known = merged(known, "webhook", &[a(5.0)]);
        let known = merged(known, "probe", &[a(3.0)]);
        let values: Vec<(&str, f64)> = known.iter().map(|entry| (entry.metric.as_str(), entry.value)).collect();
        assert_eq!(values, [("b", 2.0), ("a", 4.0), ("a", 5.0), ("a", 3.0)]);
    }
}

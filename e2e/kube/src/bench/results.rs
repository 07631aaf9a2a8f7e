//! The file with all measured numbers, which other benchmarks write as well: one JSON object per line. A figure replaces the one of
//! its name.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figure::Figure;
use crate::part::root;

const BENCH: &str = "probe";
const SUBJECT: &str = "keyward";

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

/// Puts figures into the file.
pub(super) fn merge(figures: &[Figure]) -> Result<()> {
    let file = file();
    let known = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is not ours: move it away", file.display()))?,
        Err(_) => Vec::new(),
    };
    std::fs::create_dir_all(file.with_file_name(""))?;
    let lines = merged(known, figures).iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    std::fs::write(&file, format!("[\n{}\n]\n", lines.join(",\n"))).with_context(|| file.display().to_string())
}

fn merged(known: Vec<Entry>, figures: &[Figure]) -> Vec<Entry> {
    let replaced = |entry: &Entry| entry.bench == BENCH && figures.iter().any(|figure| figure.metric == entry.metric);
    let kept = known.into_iter().filter(|entry| !replaced(entry));
    kept.chain(figures.iter().map(entry)).collect()
}

fn entry(figure: &Figure) -> Entry {
    let (metric, unit) = (figure.metric.to_owned(), figure.unit.to_owned());
    Entry { bench: BENCH.to_owned(), subject: SUBJECT.to_owned(), metric, unit, value: figure.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_figure_and_keeps_the_others() {
        let known = merged(Vec::new(), &[Figure::plain("a", "ms", 1.0), Figure::plain("b", "ms", 2.0)]);
        let known = merged(known, &[Figure::plain("a", "ms", 3.0)]);
        assert_eq!(known.iter().map(|entry| (entry.metric.as_str(), entry.value)).collect::<Vec<_>>(), [("b", 2.0), ("a", 3.0)]);
    }
}

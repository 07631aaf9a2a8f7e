//! What a bench found, and what was asked of it, as an aligned table.

use std::fmt;

use crate::rounds::{Sample, Series};

/// What a bench found.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the bench.
    pub bench: &'static str,
    /// How it was measured, in a line.
    pub note: String,
    /// In the order of the table.
    pub rows: Vec<Row>,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose: a label, or `one/other` for a ratio.
    pub subject: String,
    /// Of what.
    pub metric: &'static str,
    /// In what.
    pub unit: &'static str,
    /// The number.
    pub value: f64,
    /// The same as a multiple of ours.
    pub versus_ours: Option<f64>,
    /// What was asked of it.
    pub target: Option<Target>,
}

/// A metric of loads.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name in tables and results.
    pub name: &'static str,
    /// Unit of its values.
    pub unit: &'static str,
    /// Where it is in a sample.
    pub pick: fn(&Sample) -> f64,
}

/// What is asked of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    bound: Bound,
    due: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Near(f64, f64),
}

impl Target {
    /// No more than this.
    pub const fn at_most(most: f64) -> Self {
        Self { bound: Bound::AtMost(most), due: true }
    }

    /// No less than this.
    pub const fn at_least(least: f64) -> Self {
        Self { bound: Bound::AtLeast(least), due: true }
    }

    /// This, give or take.
    pub const fn near(value: f64, give_or_take: f64) -> Self {
        Self { bound: Bound::Near(value, give_or_take), due: true }
    }

    /// Where to get to, not yet due.
    pub const fn later(self) -> Self {
        Self { due: false, ..self }
    }

    fn is_met(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
            Bound::Near(near, give_or_take) => (value - near).abs() <= give_or_take,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bound {
            Bound::AtMost(most) => write!(f, "<= {most}"),
            Bound::AtLeast(least) => write!(f, ">= {least}"),
            Bound::Near(near, give_or_take) => write!(f, "{near} +- {give_or_take}"),
        }?;
        f.write_str(if self.due { "" } else { " (later)" })
    }
}

impl Outcome {
    /// With no rows yet.
    pub fn new(bench: &'static str, note: impl Into<String>) -> Self {
        Self { bench, note: note.into(), rows: Vec::new() }
    }

    /// One number of one subject.
    pub fn row(&mut self, subject: &str, (metric, unit): (&'static str, &'static str), value: f64, target: Option<Target>) {
        self.rows.push(Row { subject: subject.to_owned(), metric, unit, value, versus_ours: None, target });
    }

    /// A metric of all contenders of a series, each also as a multiple of the first.
    pub fn series(&mut self, series: &Series, metric: Metric) {
        let ours = series.labels.first().map_or("", String::as_str);
        for label in &series.labels {
            let Some(value) = series.value(label, metric.pick) else { continue };
            self.row(label, (metric.name, metric.unit), value, None);
            if let Some(row) = self.rows.last_mut() {
                row.versus_ours = series.ratio(label, ours, metric.pick);
            }
        }
    }

    /// The ratio of two contenders; nothing when one did not take part.
    pub fn ratio(&mut self, series: &Series, (above, below): (&str, &str), metric: Metric, target: Target) {
        if let Some(ratio) = series.ratio(above, below, metric.pick) {
            self.row(&format!("{above}/{below}"), (metric.name, "ratio"), ratio, Some(target));
        }
    }

    /// Asks something of a number that is already there.
    pub fn ask(&mut self, subject: &str, metric: &str, target: Target) {
        let asked = self.rows.iter_mut().filter(|row| row.subject == subject && row.metric == metric);
        asked.for_each(|row| row.target = Some(target));
    }

    /// Whether a target that is due is missed.
    pub fn misses_what_is_due(&self) -> bool {
        self.rows.iter().any(|row| row.target.is_some_and(|target| target.due && !target.is_met(row.value)))
    }
}

impl Row {
    fn cells(&self) -> [String; 7] {
        let verdict = self.target.map(|target| if target.is_met(self.value) { "met" } else { "MISSED" });
        [
            self.subject.clone(),
            self.metric.to_owned(),
            self.unit.to_owned(),
            number(self.value),
            self.versus_ours.map(|ratio| format!("{ratio:.2}x")).unwrap_or_default(),
            self.target.map(|target| target.to_string()).unwrap_or_default(),
            verdict.unwrap_or_default().to_owned(),
        ]
    }
}

/// Three digits that matter, as far as a reader cares.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}: {}", self.bench, self.note)?;
        let head = ["subject", "metric", "unit", "value", "of ours", "target", ""].map(str::to_owned);
        let lines: Vec<[String; 7]> = [head].into_iter().chain(self.rows.iter().map(Row::cells)).collect();
        let widths: [usize; 7] = std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
        for line in &lines {
            let [subject, metric, unit, value, ours, target, verdict] = line;
            let [w0, w1, w2, w3, w4, w5, _] = widths;
            let text = format!("{subject:w0$}  {metric:w1$}  {unit:w2$}  {value:>w3$}  {ours:>w4$}  {target:w5$}  {verdict}");
            writeln!(f, "  {}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_missed_target_as_missed() {
        let mut outcome = Outcome::new("http1-cpu", "a note");
        outcome.row("ours/nginx", ("cpu", "ratio"), 1.3, Some(Target::at_most(1.25)));
        let text = outcome.to_string();
        assert!(text.contains("1.300") && text.contains("<= 1.25") && text.contains("MISSED"), "{text}");
    }

    #[test]
    fn only_what_is_due_counts_as_missed() {
        let mut outcome = Outcome::new("tls", "");
        outcome.row("ours", ("cpu", "us"), 400.0, Some(Target::at_most(330.0).later()));
        assert!(!outcome.misses_what_is_due());
        outcome.ask("ours", "cpu", Target::at_most(330.0));
        assert!(outcome.misses_what_is_due());
    }
}

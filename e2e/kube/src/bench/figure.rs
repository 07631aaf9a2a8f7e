//! A number beside its target, and whose it is.

use std::fmt;

/// Whose figures are compared with others'.
pub(super) const US: &str = "keyward";

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) subject: &'static str,
    pub(super) metric: &'static str,
    pub(super) unit: &'static str,
    pub(super) value: f64,
    /// At most this.
    target: Option<f64>,
}

impl Figure {
    /// A figure that is to be at most its target.
    pub(super) fn new(metric: &'static str, unit: &'static str, value: f64, target: f64) -> Self {
        Self { target: Some(target), ..Self::plain(metric, unit, value) }
    }

    /// A figure that nobody asks anything of.
    pub(super) fn plain(metric: &'static str, unit: &'static str, value: f64) -> Self {
        Self { subject: US, metric, unit, value, target: None }
    }

    /// The same of another.
    pub(super) fn of(self, subject: &'static str) -> Self {
        Self { subject, ..self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} {:>9.2} {:<5}", self.metric, self.value, self.unit)?;
        match self.target {
            None => Ok(()),
            Some(target) if self.value <= target => write!(f, " target <= {target}: met"),
            Some(0.0) => f.write_str(" target 0: missed"),
            Some(target) => write!(f, " target <= {target}: missed by {:.0} %", (self.value / target - 1.0) * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_by_how_much_a_target_is_missed() {
        assert!(Figure::new("mean", "ms", 15.0, 12.0).to_string().ends_with("missed by 25 %"));
        assert!(Figure::new("mean", "ms", 12.0, 12.0).to_string().ends_with("met"));
        assert!(Figure::new("wrong", "", 1.0, 0.0).to_string().ends_with("target 0: missed"));
    }
}

//! Pages of metrics, in Prometheus' text format.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use keyward_e2e::{Request, send};

/// A page as it was.
#[derive(Clone, Debug)]
pub struct Page(String);

impl Page {
    /// Reads `/metrics`.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn read(address: IpAddr, port: u16) -> Result<Self> {
        let answer = send(SocketAddr::new(address, port), &Request::get("/metrics"))?;
        ensure!(answer.status == 200, "/metrics: {} {}", answer.status, answer.text());
        Ok(Self(answer.text()))
    }

    /// The sum of a metric over its labels; 0 where it is not there.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
        lines.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The value of one series; 0 where it is not there. `series` is written as on the page, such as `x_total{kind="Gateway"}`.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_a_metric_and_no_other() {
        let page = Page("# HELP a_total a\na_total{k=\"x\"} 2\na_total{k=\"y\"} 3\na_total_more 7\n".to_owned());
        assert_eq!((page.sum("a_total"), page.value("a_total{k=\"y\"}"), page.sum("b")), (5.0, 3.0, 0.0));
    }
}

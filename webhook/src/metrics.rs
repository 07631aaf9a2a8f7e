//! The webhook's metrics. No series per object, namespace or user.

use prometheus::{Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// All of them. Their help texts say what they are.
#[expect(missing_docs, reason = "the help texts below say what each is")]
pub struct Metrics {
    registry: Registry,
    reviews: [(&'static str, IntCounter); 6],
    pub seconds: Histogram,
    pub cert_expiry: Gauge,
    pub namespaces_synced: IntGauge,
}

const VERDICTS: [&str; 6] = ["allowed", "warned", "refused", "retry", "unreadable", "failed"];

const SECONDS: [f64; 10] = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0];

impl Metrics {
    /// A registry with all of them.
    #[expect(clippy::expect_used, reason = "names and labels are constants, tested below")]
    pub fn new() -> Self {
        Self::register().expect("metric names are valid and distinct")
    }

    fn register() -> prometheus::Result<Self> {
        let reviews = IntCounterVec::new(
            Opts::new("keyward_webhook_reviews_total", "Reviews by verdict: allowed, warned, refused, retry, unreadable, failed"),
            &["verdict"],
        )?;
        let metrics = Self {
            registry: Registry::new(),
            reviews: VERDICTS.map(|verdict| (verdict, reviews.with_label_values(&[verdict]))),
            seconds: Histogram::with_opts(
                HistogramOpts::new("keyward_webhook_review_duration_seconds", "From a review's head to its answer")
                    .buckets(SECONDS.to_vec()),
            )?,
            cert_expiry: Gauge::new("keyward_webhook_cert_expiry_timestamp_seconds", "When the serving certificate ends")?,
            namespaces_synced: IntGauge::new("keyward_webhook_namespaces_synced", "1 once the labels of all namespaces are known")?,
        };
        metrics.registry.register(Box::new(reviews))?;
        metrics.registry.register(Box::new(metrics.seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.cert_expiry.clone()))?;
        metrics.registry.register(Box::new(metrics.namespaces_synced.clone()))?;
        Ok(metrics)
    }

    /// Counts a review by one of the verdicts' words.
    pub fn reviewed(&self, verdict: &str) {
        if let Some((_, count)) = self.reviews.iter().find(|(word, _)| *word == verdict) {
            count.inc();
        }
    }

    /// In Prometheus' text format.
    pub fn encode(&self) -> String {
        let mut page = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            Ok(()) => String::from_utf8(page).unwrap_or_default(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start() {
        let page = Metrics::new().encode();
        for series in [
            "keyward_webhook_reviews_total{verdict=\"refused\"} 0",
            "keyward_webhook_review_duration_seconds_count 0",
            "keyward_webhook_cert_expiry_timestamp_seconds 0",
            "keyward_webhook_namespaces_synced 0",
        ] {
            assert!(page.contains(series), "{series} is not in\n{page}");
        }
    }
}

//! The operator's metrics. Few series: by kind at most, but for inline credentials, which somebody has to find; never by object.

use std::sync::Arc;

use crds::credentials::Level;
use prometheus::{Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use translate::InlineCount;

/// All of them. Their help texts say what they are.
#[expect(missing_docs, reason = "the help texts below say what each is")]
pub struct Metrics {
    registry: Registry,
    pub reconcile_seconds: Histogram,
    pub translated: IntCounter,
    pub xds_clients: IntGauge,
    pub xds_nacks: IntCounter,
    pub ack_seconds: Histogram,
    pub watch_errors: IntCounterVec,
    pub leader: IntGauge,
    pub objects: IntGaugeVec,
    pub status_writes: IntCounterVec,
    pub infra_writes: IntCounterVec,
    pub ca_expiry_timestamp: Gauge,
    inline_credentials: IntGaugeVec,
    resident_bytes: IntGauge,
    cpu_seconds: Gauge,
}

const SECONDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

impl Metrics {
    /// A registry with all of them.
    #[expect(clippy::expect_used, reason = "names and labels are constants, tested below")]
    pub fn new() -> Arc<Self> {
        Self::register().map(Arc::new).expect("metric names are valid and distinct")
    }

    fn register() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker { registry: &registry };
        Ok(Self {
            reconcile_seconds: make
                .histogram("reconcile_seconds", "From the first change seen to everything handed to publishers and writers")?,
            translated: make.counter("translations_total", "Translations")?,
            xds_clients: make.gauge("xds_clients", "Proxies connected to this replica")?,
            xds_nacks: make.counter("xds_nacks_total", "Configurations that a proxy refused")?,
            ack_seconds: make.histogram("ack_seconds", "From sending configuration to a proxy to its acknowledgement")?,
            watch_errors: make.counters("watch_errors_total", "Failed lists and watches", &["kind"])?,
            leader: make.gauge("leader", "1 on the replica that writes")?,
            objects: make.gauges("objects", "Objects seen", &["kind"])?,
            status_writes: make.counters("status_writes_total", "Status writes", &["kind", "result"])?,
            infra_writes: make.counters("infra_writes_total", "Writes of what runs for Gateways", &["kind", "result"])?,
            ca_expiry_timestamp: make.float("ca_expiry_timestamp_seconds", "When the certificate authority that signs ends")?,
            inline_credentials: make.add(IntGaugeVec::new(
                Opts::new("keyward_inline_credentials", "Credentials that stand in manifests; level: what the namespace enforces now"),
                &["namespace", "kind", "level"],
            )?)?,
            resident_bytes: make.gauge("resident_memory_bytes", "Memory in use")?,
            cpu_seconds: make.float("cpu_seconds", "CPU time used")?,
            registry,
        })
    }

    /// Inline credentials in a namespace; `None`: there are none any more. A namespace has one level at a time.
    pub fn show_inline(&self, namespace: &str, kind: &str, now: Option<InlineCount>) {
        for level in Level::ALL {
            // It may not have been there.
            let _ = self.inline_credentials.remove_label_values(&[namespace, kind, level.as_str()]);
        }
        if let Some(InlineCount { level, count }) = now {
            let gauge = self.inline_credentials.with_label_values(&[namespace, kind, level.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// In Prometheus' text format.
    pub fn encode(&self) -> String {
        self.measure();
        let mut page = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut page) {
            Ok(()) => String::from_utf8(page).unwrap_or_default(),
            Err(error) => format!("# {error}\n"),
        }
    }

    /// Of this process, as the kernel counts.
    fn measure(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<i64>().ok());
        self.resident_bytes.set(kilobytes.unwrap_or_default() * 1024);
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let nanoseconds = threads.filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        self.cpu_seconds.set(nanoseconds.sum::<u64>() as f64 / 1e9);
    }
}

struct Maker<'r> {
    registry: &'r Registry,
}

impl Maker<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn histogram(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(full(name), help).buckets(SECONDS.to_vec()))?)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(full(name), help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(full(name), help)?)
    }

    fn float(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::new(full(name), help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(full(name), help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(full(name), help), labels)?)
    }
}

fn full(name: &str) -> String {
    format!("keyward_operator_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_distinct_and_shown() {
        let metrics = Metrics::new();
        metrics.watch_errors.with_label_values(&["Gateway"]).inc();
        let page = metrics.encode();
        for name in ["reconcile_seconds_bucket", "watch_errors_total{kind=\"Gateway\"} 1", "leader 0", "resident_memory_bytes"] {
            assert!(page.contains(&format!("keyward_operator_{name}")), "{name} is not in\n{page}");
        }
    }

    #[test]
    fn a_namespace_has_one_level_at_a_time() {
        let metrics = Metrics::new();
        metrics.show_inline("team", "Upstream", Some(InlineCount { level: Level::Open, count: 3 }));
        metrics.show_inline("team", "Upstream", Some(InlineCount { level: Level::Protected, count: 2 }));
        let page = metrics.encode();
        let series: Vec<&str> = page.lines().filter(|line| line.starts_with("keyward_inline_credentials{")).collect();
        assert_eq!(series, ["keyward_inline_credentials{kind=\"Upstream\",level=\"protected\",namespace=\"team\"} 2"]);
        metrics.show_inline("team", "Upstream", None);
        assert!(!metrics.encode().contains("keyward_inline_credentials{"));
    }
}

//! What a scrape shows. Few series, all made at start: no label holds what a client sent, but for a bounded set of model names.

mod streams;

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use policy::{ProviderKind, Reason};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub(crate) use streams::{Carried, Streams};

use crate::error::UpstreamError;
use crate::usage::Usage;

/// Seconds; from a cached answer to a model that thinks for minutes.
const LATENCY_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0];
/// Tokens; the buckets that the GenAI semantic conventions advise for `gen_ai.client.token.usage`.
const TOKEN_BUCKETS: [f64; 14] =
    [1., 4., 16., 64., 256., 1024., 4096., 16384., 65536., 262_144., 1_048_576., 4_194_304., 16_777_216., 67_108_864.];
/// Models beyond this many share the name `_other`: providers answer with names that clients can choose.
const MODELS: usize = 64;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics of a proxy. Shared by its workers.
pub(crate) struct Metrics {
    registry: Registry,
    requests: [[IntCounter; 5]; 2],
    duration: [Histogram; 2],
    pub(crate) request_bytes: IntCounter,
    pub(crate) response_bytes: IntCounter,
    upstream_errors: [IntCounter; 6],
    refusals: [IntCounter; Reason::ALL.len()],
    pub(crate) credentials_refused: IntCounter,
    pub(crate) connections: IntGauge,
    pub(crate) streams: Streams,
    config_updates: [IntCounter; 2],
    /// When the configuration in force came into force.
    configured: Mutex<Option<Instant>>,
    unserved: [IntGauge; 3],
    pub(crate) xds_connected: IntGauge,
    xds_responses: [IntCounter; 2],
    tokens: HistogramVec,
    models: Mutex<Vec<String>>,
}

/// What kind of backend a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Ai,
    Http,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| register(&registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let requests = counters("keyward_requests_total", "Requests answered, by kind of backend and class of status.", &["kind", "code"])?;
        let latency = HistogramOpts::new("keyward_request_duration_seconds", "From a request's head to the last byte of its answer.");
        let duration = register(&registry, HistogramVec::new(latency.buckets(LATENCY_BUCKETS.to_vec()), &["kind"])?)?;
        let bytes = counters("keyward_body_bytes_total", "Bytes of request and response bodies.", &["direction"])?;
        let upstream = counters(
            "keyward_upstream_errors_total",
            "Permitted requests without an answer of their backend, and connections that it did not take.",
            &["error"],
        )?;
        let refusals = counters("keyward_refusals_total", "Requests, connections and flows refused, by reason.", &["reason"])?;
        let updates = counters("keyward_config_updates_total", "Configurations received.", &["result"])?;
        let tokens =
            HistogramOpts::new("gen_ai_client_token_usage", "Tokens used, as the provider counted them (gen_ai.client.token.usage).");
        let token_labels = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_token_type", "gen_ai_response_model"];
        let tokens = register(&registry, HistogramVec::new(tokens.buckets(TOKEN_BUCKETS.to_vec()), &token_labels)?)?;
        let refused = IntCounter::new("keyward_credentials_refused_total", "Answers 401 of providers to the gateway's own credential.")?;
        let connections = IntGauge::new("keyward_connections", "Client connections open now.")?;
        let connected = IntGauge::new("keyward_proxy_xds_connected", "Whether the configuration channel is open: 1 or 0.")?;
        let responses =
            counters("keyward_proxy_xds_responses_total", "Responses of the control plane, by what became of them.", &["result"])?;
        let unserved =
            Opts::new("keyward_proxy_config_unserved", "Parts of the configuration in force that cannot be served as configured.");
        let unserved = register(&registry, IntGaugeVec::new(unserved, &["kind"])?)?;
        let kinds = ["ai", "http"];
        Ok(Self {
            requests: kinds.map(|kind| CLASSES.map(|class| requests.with_label_values(&[kind, class]))),
            duration: kinds.map(|kind| duration.with_label_values(&[kind])),
            request_bytes: bytes.with_label_values(&["request"]),
            response_bytes: bytes.with_label_values(&["response"]),
            upstream_errors: UpstreamError::LABELS.map(|label| upstream.with_label_values(&[label])),
            refusals: Reason::ALL.map(|reason| refusals.with_label_values(&[reason.label()])),
            credentials_refused: register(&registry, refused)?,
            connections: register(&registry, connections)?,
            streams: Streams::new(&registry)?,
            config_updates: ["applied", "refused"].map(|result| updates.with_label_values(&[result])),
            configured: Mutex::default(),
            unserved: ["rule", "certificate", "port"].map(|kind| unserved.with_label_values(&[kind])),
            xds_connected: register(&registry, connected)?,
            xds_responses: ["ack", "nack"].map(|result| responses.with_label_values(&[result])),
            tokens,
            models: Mutex::default(),
            registry,
        })
    }

    pub(crate) fn answered(&self, traffic: Traffic, status: http::StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[traffic as usize][class].inc();
        self.duration[traffic as usize].observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, reason: Reason) {
        if let Some(at) = Reason::ALL.iter().position(|known| *known == reason) {
            self.refusals[at].inc();
        }
    }

    pub(crate) fn upstream_failed(&self, error: &UpstreamError) {
        self.upstream_errors[error.index()].inc();
    }

    pub(crate) fn config_update(&self, applied: bool) {
        self.config_updates[usize::from(!applied)].inc();
        if applied {
            *self.configured.lock() = Some(Instant::now());
        }
    }

    /// How many rules, certificates and ports of the configuration in force are not served as configured.
    pub(crate) fn unserved(&self, counts: [usize; 3]) {
        for (gauge, count) in self.unserved.iter().zip(counts) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn xds_response(&self, acked: bool) {
        self.xds_responses[usize::from(!acked)].inc();
    }

    pub(crate) fn used(&self, (provider, operation): (ProviderKind, &'static str), usage: &Usage) {
        let model = self.bounded_model(usage.model.as_deref().unwrap_or_default());
        for (kind, count) in [("input", usage.input), ("output", usage.output)] {
            if let Some(count) = count {
                #[expect(clippy::cast_precision_loss, reason = "2^53 tokens will do")]
                self.tokens.with_label_values(&[operation, provider.semconv_name(), kind, &model]).observe(count as f64);
            }
        }
    }

    fn bounded_model(&self, model: &str) -> String {
        let mut models = self.models.lock();
        let known = models.iter().any(|known| known == model);
        let plain = model.len() <= 64 && model.bytes().all(|b| b.is_ascii_graphic());
        match (known, plain && models.len() < MODELS) {
            (true, _) => {}
            (false, true) => models.push(model.to_owned()),
            (false, false) => return "_other".to_owned(),
        }
        model.to_owned()
    }

    /// Text exposition; `ages` are seconds since each backend's credential came into force.
    pub(crate) fn encode(&self, ages: &[(String, f64)]) -> Result<String, prometheus::Error> {
        let scrape = Registry::new();
        let opts = Opts::new("keyward_credential_age_seconds", "Seconds since the credential in use came into force.");
        let gauges = register(&scrape, prometheus::GaugeVec::new(opts, &["backend"])?)?;
        for (backend, age) in ages {
            gauges.with_label_values(&[backend]).set(*age);
        }
        if let Some(since) = *self.configured.lock() {
            let age = Gauge::new("keyward_proxy_config_age_seconds", "Seconds since the configuration in force came into force.")?;
            register(&scrape, age)?.set(since.elapsed().as_secs_f64());
        }
        let mut families = self.registry.gather();
        families.extend(scrape.gather());
        TextEncoder::new().encode_to_string(&families)
    }
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

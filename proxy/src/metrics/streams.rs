//! What a scrape shows of connections and flows that are passed on as they are.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::register;

/// What carries what is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    Tls,
    Tcp,
    Udp,
}

/// See the module.
pub(crate) struct Streams {
    opened: [IntCounter; 3],
    received: IntCounter,
    sent: IntCounter,
    /// UDP flows open now.
    pub(crate) flows: IntGauge,
}

impl Streams {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| register(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let opened = counters("keyward_streams_total", "Connections and UDP flows passed on to a backend.", &["protocol"])?;
        let bytes = counters("keyward_stream_bytes_total", "Bytes of connections and UDP flows passed on.", &["direction"])?;
        Ok(Self {
            opened: ["tls", "tcp", "udp"].map(|protocol| opened.with_label_values(&[protocol])),
            received: bytes.with_label_values(&["received"]),
            sent: bytes.with_label_values(&["sent"]),
            flows: register(registry, IntGauge::new("keyward_udp_flows", "UDP flows open now.")?)?,
        })
    }

    /// One more was joined to a backend.
    pub(crate) fn opened(&self, carried: Carried) {
        self.opened[carried as usize].inc();
    }

    /// From a client, to a backend.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    /// From a backend, to a client.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }
}

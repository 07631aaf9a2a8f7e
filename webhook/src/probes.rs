//! The plain port: metrics and probes.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::certificate::{self, Certificates};
use crate::service::Webhook;
use crate::trust::Trust;

/// What serves reviews, once it does.
pub(crate) struct Serving {
    pub(crate) certificates: Certificates,
    pub(crate) trust: Arc<Trust>,
}

pub(crate) struct Probes {
    webhook: Arc<Webhook>,
    serving: OnceLock<Serving>,
}

impl Probes {
    pub(crate) fn new(webhook: Arc<Webhook>) -> Arc<Self> {
        Arc::new(Self { webhook, serving: OnceLock::new() })
    }

    pub(crate) fn serve_with(&self, serving: Serving) {
        // Called once.
        let _ = self.serving.set(serving);
    }

    /// Looked at anew each time: a certificate may end, and a caBundle may be reset.
    fn ready(&self) -> Result<(), String> {
        if self.webhook.is_stopping() {
            return Err("stopping".to_owned());
        }
        if !self.webhook.namespaces.read().is_synced() {
            return Err("the labels of namespaces are not known yet".to_owned());
        }
        let serving = self.serving.get().ok_or("there is no certificate yet")?;
        let served = serving.certificates.serving().ok_or("there is no certificate yet")?;
        serving.trust.verify(&served)
    }

    fn readyz(&self) -> (StatusCode, String) {
        match self.ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        }
    }

    fn metrics(&self) -> String {
        let served = self.serving.get().and_then(|serving| serving.certificates.serving());
        if let Some(ends) = served.and_then(|served| certificate::ends(&served)) {
            self.webhook.metrics.cert_expiry.set(ends as f64);
        }
        self.webhook.metrics.encode()
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr, probes: Arc<Probes>) -> anyhow::Result<()> {
    let (readyz, metrics) = (Arc::clone(&probes), probes);
    let pages = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async move || readyz.readyz()))
        .route("/metrics", get(async move || ([("content-type", "text/plain; version=0.0.4")], metrics.metrics())));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, pages).await?;
    Ok(())
}

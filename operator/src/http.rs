//! The operator's plain port: metrics and probes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What must be true before this replica may be asked for configuration.
pub(crate) struct Readiness {
    flags: BTreeMap<&'static str, AtomicBool>,
}

impl Readiness {
    /// With nothing ready.
    pub(crate) fn new(names: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { flags: names.iter().map(|name| (*name, AtomicBool::new(false))).collect() })
    }

    pub(crate) fn set(&self, name: &str, ready: bool) {
        if let Some(flag) = self.flags.get(name) {
            flag.store(ready, Ordering::Relaxed);
        }
    }

    fn page(&self) -> (StatusCode, String) {
        let missing: Vec<&str> = self.flags.iter().filter(|(_, flag)| !flag.load(Ordering::Relaxed)).map(|(name, _)| *name).collect();
        match missing.is_empty() {
            true => (StatusCode::OK, "ok\n".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
        }
    }
}

/// Serves until told to stop.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let pages = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness.page()))
        .route("/metrics", get(async move || ([("content-type", "text/plain; version=0.0.4")], metrics.encode())));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, pages).with_graceful_shutdown(stop.cancelled_owned()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_not_ready() {
        let readiness = Readiness::new(&["synced", "certificate"]);
        readiness.set("synced", true);
        assert_eq!(readiness.page(), (StatusCode::SERVICE_UNAVAILABLE, "not ready: certificate\n".to_owned()));
        readiness.set("certificate", true);
        assert_eq!(readiness.page().0, StatusCode::OK);
    }
}

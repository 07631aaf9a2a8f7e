//! The way to the API server, which may fall silent without closing anything: nothing waits for it for ever.

use std::time::Duration;

use anyhow::Context;
use kube::Client;
use kube_runtime::watcher;

/// A watch is renewed this often, so that a silent partition from the API server is noticed.
const WATCH_SECONDS: u32 = 40;
/// More than [`WATCH_SECONDS`]: a watch in which nothing happens is no failure.
const READ_TIMEOUT: Duration = Duration::from_secs(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client by a kubeconfig, or else by the pod's ServiceAccount. Within a runtime.
///
/// # Errors
/// When there is neither.
pub async fn infer() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await.context("no way to the API server: neither in a pod nor with a kubeconfig")?;
    config.read_timeout = Some(READ_TIMEOUT);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).context("no client for the API server")
}

/// How to watch with such a client.
pub fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

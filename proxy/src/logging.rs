//! Logs: structured, to standard error, at `RUST_LOG`'s level, but never the details of HTTP and TLS libraries, whose traces could show
//! a header.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Libraries that see requests in clear; their logs stop at warnings, whatever is asked for.
const QUIET: [&str; 10] =
    ["hyper", "hyper_util", "h2", "tonic", "tower", "rustls", "tokio_rustls", "hickory_resolver", "hickory_proto", "hickory_net"];

/// Starts logging. `RUST_LOG` is as tracing-subscriber documents it.
pub fn start(format: LogFormat, default: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let allowed = filter_fn(|event| *event.level() <= Level::WARN || !is_quiet(event.target()));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start (tests in one process) keeps the first.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_filter(allowed)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(allowed)).try_init(),
    };
}

fn is_quiet(target: &str) -> bool {
    QUIET.contains(&target.split("::").next().unwrap_or_default())
}

//! `keyward-operator`: the control plane in a cluster.

use clap::Parser;
use operator::Options;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Turns Gateways and routes into managed proxies, and tells the truth about them.
#[derive(Parser)]
#[command(name = "keyward-operator", version)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    log();
    end_on_panic();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(signals(stop.clone()));
        operator::run(args.options, stop).await
    })
}

/// Libraries that see Secrets and tokens in clear; their logs stop at errors, whatever is asked for: the API's client shows answers that it
/// cannot read.
const QUIET: [&str; 9] = ["kube", "kube_client", "kube_runtime", "hyper", "hyper_util", "h2", "tonic", "tower", "rustls"];

/// One JSON object per line, at `RUST_LOG`'s level.
fn log() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let is_quiet = |target: &str| QUIET.contains(&target.split("::").next().unwrap_or_default());
    let allowed = filter_fn(move |event| *event.level() == Level::ERROR || !is_quiet(event.target()));
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_filter(allowed);
    tracing_subscriber::registry().with(filter).with(layer).init();
}

/// A panic ends the process, and another replica takes over: a half-dead one might lead without writing. What it says stays unsaid, since
/// nobody can know what it quotes.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(code.location = place, "this should not happen: the operator ends; please report it");
        std::process::abort();
    }));
}

async fn signals(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    Ok(())
}

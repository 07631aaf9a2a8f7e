//! `keyward-proxy`: the data plane alone, configured from a file of wire resources.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Parser;
use proxy::logging::{self, LogFormat};
use proxy::{Options, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves a Gateway's compiled configuration.
#[derive(Parser)]
#[command(name = "keyward-proxy", version)]
struct Args {
    /// File of wire resources, one JSON object per line. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::start(args.log_format, LevelFilter::WARN);
    let mut server = Server::start(args.options)?;
    let seen = changed_at(&args.config);
    let failed = apply(&mut server, &args.config)?;
    anyhow::ensure!(failed == 0 || server.ports().next().is_some(), "no port could be opened");
    println!("keyward-proxy ready admin={}", server.admin_addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(&mut server, &args.config, seen))?;
    server.drain();
    Ok(())
}

/// Applies changes of the file until a signal says stop.
async fn follow(server: &mut Server, path: &Path, mut seen: Stamp) -> anyhow::Result<()> {
    let mut last = seen;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let now = changed_at(path);
        // Only once it stays as it is: half-written is not a configuration.
        let settled = std::mem::replace(&mut last, now) == now;
        if settled && now != seen {
            seen = now;
            if let Err(error) = apply(server, path) {
                tracing::error!(error = format!("{error:#}"), "the configuration stays as it was");
            }
        }
    }
}

type Stamp = Option<(SystemTime, u64)>;

fn changed_at(path: &Path) -> Stamp {
    std::fs::metadata(path).and_then(|metadata| Ok((metadata.modified()?, metadata.len()))).ok()
}

/// Applies the file; gives the number of ports that could not be opened.
fn apply(server: &mut Server, path: &Path) -> anyhow::Result<usize> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let config = policy::wire::decode(BufReader::new(file)).with_context(|| path.display().to_string())?;
    let failed = server.apply(config)?;
    for error in &failed {
        tracing::error!(%error);
    }
    Ok(failed.len())
}

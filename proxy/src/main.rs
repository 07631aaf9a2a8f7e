//! `keyward-proxy`: the data plane alone, configured by a control plane or from a file of wire resources.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{ArgGroup, Parser};
use proxy::logging::{self, LogFormat};
use proxy::{ControlPlane, Options, Server, Source, XdsAddress};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves a Gateway's compiled configuration.
#[derive(Parser)]
#[command(name = "keyward-proxy", version)]
#[command(group(ArgGroup::new("source").required(true).args(["config", "xds_address"])))]
struct Args {
    /// File of wire resources, one JSON object per line. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Control plane to be configured by; needs --xds-ca and --xds-token.
    #[arg(long, value_name = "https://HOST:PORT", requires = "xds_ca", requires = "xds_token")]
    xds_address: Option<XdsAddress>,
    /// PEM file of the authorities that the control plane's certificate must be from. Read at every connection.
    #[arg(long, value_name = "FILE", requires = "xds_address")]
    xds_ca: Option<PathBuf>,
    /// File of the ServiceAccount token for the control plane. Read at every connection.
    #[arg(long, value_name = "FILE", requires = "xds_address")]
    xds_token: Option<PathBuf>,
    /// This proxy's name in the control plane's logs: the pod's.
    #[arg(long, value_name = "NAME", env = "HOSTNAME", default_value = "")]
    xds_node: String,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    #[command(flatten)]
    options: Options,
}

impl Args {
    fn control_plane(&self) -> Option<ControlPlane> {
        let (address, ca, token) = (self.xds_address.clone()?, self.xds_ca.clone()?, self.xds_token.clone()?);
        Some(ControlPlane { address, ca, token, node: self.xds_node.clone() })
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::start(args.log_format, LevelFilter::INFO);
    let plane = args.control_plane();
    let mut server = Server::start(args.options)?;
    // The main thread's; the only one that speaks to a control plane.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match (plane, args.config) {
        (Some(plane), _) => from_control_plane(&mut server, plane, &runtime)?,
        (None, Some(config)) => from_file(&mut server, &config, &runtime)?,
        (None, None) => anyhow::bail!("give --config or --xds-address"),
    }
    // The control plane learns now that we are going, not when the last request is done.
    drop(runtime);
    server.drain();
    Ok(())
}

/// Serves what a control plane says, until a signal says stop. Ready, as /readyz has it, once its first response was applied.
fn from_control_plane(server: &mut Server, plane: ControlPlane, runtime: &Runtime) -> anyhow::Result<()> {
    println!("keyward-proxy waiting for {} admin={}", plane.address, server.admin_addr());
    let mut source = Source::new(plane);
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => anyhow::Ok(()),
            _ = interrupt.recv() => Ok(()),
            never = source.follow(server) => match never {},
        }
    })
}

/// Serves a file and its changes, until a signal says stop.
fn from_file(server: &mut Server, config: &Path, runtime: &Runtime) -> anyhow::Result<()> {
    let seen = changed_at(config);
    let failed = apply(server, config)?;
    anyhow::ensure!(failed == 0 || server.ports().next().is_some(), "no port could be opened");
    println!("keyward-proxy ready admin={}", server.admin_addr());
    runtime.block_on(follow(server, config, seen))
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

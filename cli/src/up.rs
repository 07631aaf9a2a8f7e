//! `keyward up`: files in, gateway out, without a cluster.

use std::path::PathBuf;
use std::time::Duration;

use proxy::logging::{self, LogFormat};
use proxy::{Options, Server};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use translate::{Settings, Timestamp, translate};

use crate::files::Files;
use crate::merge::merge;
use crate::report::Report;

/// How often the files are looked at. A look is a `stat` per file; polling also sees symlinks that Kubernetes swaps.
const LOOK: Duration = Duration::from_millis(100);
/// Looks in a row that may find the files changing before they are read all the same.
const PATIENCE: u32 = 3;
/// Gateways of this class are served, whether or not the files hold the GatewayClass.
const CLASS: &str = "keyward";

/// Arguments of `keyward up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Manifest file, directory of manifests, or - for standard input. Repeatable.
    ///
    /// Of a directory, the .yaml, .yml and .json files in it are served, as with kubectl, and not those of the directories below: name them,
    /// too.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", required = true)]
    files: Vec<PathBuf>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(flatten)]
    options: Options,
}

/// Serves until a signal says stop.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    logging::start(args.log_format, LevelFilter::INFO);
    let mut files = Files::new(args.files)?;
    let mut report = Report::default();
    let mut server = Server::start(args.options)?;
    let stamp = files.stamp();
    let refused = apply(&mut server, &mut files, &mut report);
    let serves = server.ports().next().is_some();
    anyhow::ensure!(refused == 0 || serves, "nothing can be served; the lines above say why");
    if !serves {
        wait_for_a_gateway();
    }
    println!("keyward ready admin={}", server.admin_addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(until_told(follow(&mut server, &mut files, &mut report, stamp)))?;
    tracing::info!("draining");
    server.drain();
    Ok(())
}

fn wait_for_a_gateway() {
    tracing::warn!("no listener yet: the files hold no valid Gateway of class {CLASS:?}; waiting for one");
}

/// Runs until a signal comes.
async fn until_told(work: impl Future<Output = ()>) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = work => {}
    }
    Ok(())
}

async fn follow(server: &mut Server, files: &mut Files, report: &mut Report, mut seen: crate::files::Stamp) {
    let mut ticks = tokio::time::interval(LOOK);
    let mut last = seen.clone();
    let mut unsettled = 0;
    loop {
        ticks.tick().await;
        let stamp = files.stamp();
        // Once they stay as they are, for a file may be seen between its truncation and its writing; files that never rest are taken
        // as they come.
        unsettled = if stamp == last { 0 } else { unsettled + 1 };
        if stamp != seen && (unsettled == 0 || unsettled > PATIENCE) {
            apply(server, files, report);
            seen = stamp.clone();
            unsettled = 0;
        }
        last = stamp;
    }
}

/// Reads, translates, serves; says what is wrong. Gives the number of ports, or of whole configurations, that were refused.
fn apply(server: &mut Server, files: &mut Files, report: &mut Report) -> usize {
    let manifests = files.read();
    let settings = Settings { implied_class: Some(CLASS.to_owned()), ..Settings::default() };
    let translation = translate(&manifests.snapshot, &settings, Timestamp::now());
    let (config, clashes) = merge(translation.configs);
    report.print(&manifests, &translation.problems, &clashes);
    let (listeners, rules) = (config.listeners.len(), config.rules.len());
    let refused = server.apply(config).map_err(|error| vec![format!("{error}; what was served before is still served")]);
    let refused = refused.map_or_else(|whole| whole, |parts| parts.iter().map(ToString::to_string).collect());
    refused.iter().for_each(|problem| tracing::error!("{problem}"));
    let ports: Vec<String> = server.ports().map(|port| port.to_string()).collect();
    tracing::info!(listeners, rules, ports = ports.join(" "), "serving");
    refused.len()
}

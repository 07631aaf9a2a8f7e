//! `keyward-bench`: the proxy against nginx, haproxy and Envoy in one interleaved run, told as ratios of CPU time per unit of work.
//!
//! ```text
//! benches ─► lab (backend, certificate, ports) ─► subjects, each pinned to CPU 0
//!    └─ rounds: every subject in turn, order rotated ─► load (a child of the same binary, CPU 1) ─► report
//!         └─ median of values and of per-round ratios ─► table + results.json
//! ```
//!
//! It never measures a subject alone, and never reports a number from a run with a wrong answer in it.

mod backend;
mod benches;
mod connection;
mod http1;
mod job;
mod lab;
mod load;
mod options;
mod payload;
mod plan;
mod process;
mod procfs;
mod results;
mod rounds;
mod subject;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::lab::Lab;
use crate::options::Options;
use crate::subject::Kind;

#[derive(Parser)]
#[command(about = "Benchmarks the Keyward proxy against nginx, haproxy and Envoy", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
}

/// What the program does when it started itself.
#[derive(Subcommand)]
enum Role {
    /// Serve as the backend.
    #[command(hide = true)]
    Backend {
        /// Port on 127.0.0.1.
        #[arg(long)]
        port: u16,
    },
    /// Send the load that a job describes.
    #[command(hide = true)]
    Load {
        /// The job, as JSON.
        job: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.role {
        Some(Role::Backend { port }) => backend::run(port).map(|()| ExitCode::SUCCESS),
        Some(Role::Load { job }) => load::run(&job).map(|()| ExitCode::SUCCESS),
        None => bench(cli.options),
    };
    ended.unwrap_or_else(|problem| {
        eprintln!("keyward-bench: {problem:#}");
        ExitCode::FAILURE
    })
}

fn bench(options: Options) -> Result<ExitCode> {
    let missing = missing(&options);
    if !missing.is_empty() {
        missing.iter().for_each(|line| eprintln!("keyward-bench: {line}"));
        return Ok(ExitCode::from(2));
    }
    let lab = Lab::open(options)?;
    let mut failed = false;
    for (name, run) in benches::chosen(&lab.options) {
        eprintln!("{name} ...");
        match run(&lab) {
            Ok(outcome) => {
                println!("{outcome}");
                results::merge(&lab.results_file(), &outcome)?;
                failed |= lab.options.strict && outcome.misses_what_is_due();
            }
            Err(problem) => {
                eprintln!("keyward-bench: {name}: {problem:#}");
                failed = true;
            }
        }
    }
    println!("written to {}", lab.results_file().display());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What cannot be run, and what to do about it.
fn missing(options: &Options) -> Vec<String> {
    let needed = Kind::ALL.into_iter().filter(|kind| !(kind.is_peer() && options.skip_missing_peers));
    let mut lines: Vec<String> = needed.filter(|kind| kind.program().is_none()).map(Kind::remedy).collect();
    lines.dedup();
    lines
}

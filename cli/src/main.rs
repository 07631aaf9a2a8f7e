//! `keyward`: the whole gateway in one process, from files; and what admission would say of them.

mod check;
mod directory;
mod document;
mod files;
mod merge;
mod report;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Gateway API for AI traffic, built around the credential.
#[derive(Parser)]
#[command(name = "keyward", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the Gateways in manifest files, and follow changes of the files.
    Up(up::Args),
    /// Find credentials in manifest files, as the admission webhook would.
    ///
    /// The exit code is 0 when there is none, 1 when a credential is where it must not be, and 2 when something could not be read, or nothing
    /// was there to check.
    Check(check::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Up(args) => up::run(args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => Ok(check::run(&args)),
    }
}

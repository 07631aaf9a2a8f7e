//! What a developer may ask of a run.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::benches;

/// Flags of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Rounds to keep of each series; noisy ones are run again, at most as often again.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub rounds: u32,
    /// Seconds measured in each round, for each subject, after one second of warm-up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    /// Run this bench only (repeatable).
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(benches::NAMES))]
    pub only: Vec<String>,
    /// Leave out peers that are not installed instead of refusing to start.
    #[arg(long)]
    pub skip_missing_peers: bool,
    /// Exit with 1 when a target that is due is missed.
    #[arg(long)]
    pub strict: bool,
    /// Connections held by the bench of idle connections.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=25_000))]
    pub idle_connections: u32,
}

//! What may be asked of a run.

use clap::Args;

/// Flags of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Rounds, in each of which every subject has its turn. A p99 of fewer attempts is decided by what else the API server did meanwhile.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(3..=50))]
    pub rounds: u32,
    /// Attempts of each subject in a round, one after the other.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(50..=5000))]
    pub attempts: u32,
    /// Clients side by side at the end.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub clients: u32,
    /// How long they are at work.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub crowd: u64,
}

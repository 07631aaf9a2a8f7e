//! What may be asked of a run.

use clap::Args;

/// Flags of a run.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Routes of the probe, one after the other.
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(200..=10_000))]
    pub routes: u32,
    /// Routes that are attached all at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub attached: u32,
    /// Routes at which the operator's memory and CPU are looked at.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(200..=20_000))]
    pub footprint: u32,
    /// Do not attach routes all at once.
    #[arg(long)]
    pub skip_attached: bool,
    /// Do not probe.
    #[arg(long)]
    pub skip_probe: bool,
    /// Do not look at memory and CPU.
    #[arg(long)]
    pub skip_footprint: bool,
}

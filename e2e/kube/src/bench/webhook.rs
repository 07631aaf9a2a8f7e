//! `bench-webhook`: what admission costs on a real API server, in one run: nothing, the same rule as ValidatingAdmissionPolicy, a minimal
//! webhook on controller-runtime, and ours. Every figure stands beside its target.
//!
//! ```text
//! Stage (a namespace per subject, admitted by it alone) ─► rounds (each subject in turn, one client) ─► crowd (200 clients) ─► figures
//! ```

mod crowd;
mod go;
mod options;
mod policy;
mod rounds;
mod stage;
mod subject;

use anyhow::Result;

use super::figure::Figure;
use super::results;
use crate::Cluster;
use stage::Stage;

pub use options::Options;

const BENCH: &str = "webhook";

/// Measures.
///
/// # Errors
/// When something cannot be measured, or an attempt was not let in; what was measured before is kept.
pub fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::alone()?;
    let stage = Stage::set(&cluster)?;
    tell(&rounds::measure(&stage, options)?)?;
    tell(&crowd::measure(&stage, options)?)?;
    println!("written to {}", results::file().display());
    Ok(())
}

fn tell(figures: &[Figure]) -> Result<()> {
    figures.iter().for_each(|figure| println!("{:<20} {figure}", figure.subject));
    results::merge(BENCH, figures)
}

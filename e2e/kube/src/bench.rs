//! `bench-probe`: how fast what the API server has gets to the proxies, and what that costs the operator. The probe is gateway-api-bench's:
//! one route after the other, asked for until it answers. Every figure stands beside its target.
//!
//! ```text
//! Lab (namespace, Gateway, backend) ─► attached ─► probe ─► footprint ─► figures ─► printed, and put into results.json
//! ```

mod attached;
mod backend;
mod figure;
mod footprint;
mod lab;
mod options;
mod probe;
mod process;
mod results;
pub mod webhook;

use std::time::Duration;

use anyhow::Result;

use crate::{Cluster, Deployed, Kind, Operator};
use figure::Figure;
use lab::Lab;

pub use options::Options;

/// Thousands of routes go with their namespace.
const CLEAN: Duration = Duration::from_secs(600);

/// Measures what the options ask for.
///
/// # Errors
/// When something cannot be measured; what was measured before is kept.
pub fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::alone()?;
    Operator(&cluster).settled()?;
    if !options.skip_attached {
        in_a_lab(&cluster, "attached", |lab| tell(&attached::measure(lab, options.attached)?))?;
    }
    if !(options.skip_probe && options.skip_footprint) {
        in_a_lab(&cluster, "probe", |lab| {
            if !options.skip_probe {
                tell(&probe::measure(lab, options.routes)?)?;
            }
            if !options.skip_footprint {
                tell(&footprint::measure(lab, options.footprint)?)?;
            }
            Ok(())
        })?;
    }
    println!("written to {}", results::file().display());
    Ok(())
}

/// Makes a lab and leaves nothing of it.
fn in_a_lab(cluster: &Cluster, name: &str, work: impl FnOnce(&Lab<'_>) -> Result<()>) -> Result<()> {
    let lab = Lab::open(cluster, name)?;
    let namespace = lab.namespace.name().to_owned();
    let worked = work(&lab);
    drop(lab);
    cluster.gone(Kind::NAMESPACE, "", &namespace, CLEAN)?;
    worked
}

/// Prints figures and keeps them.
fn tell(figures: &[Figure]) -> Result<()> {
    figures.iter().for_each(|figure| println!("{figure}"));
    results::merge("probe", figures)
}

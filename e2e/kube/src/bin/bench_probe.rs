//! The propagation benchmark as a program: see [`keyward_e2e_kube::bench`].

use clap::Parser;
use keyward_e2e_kube::bench::{Options, run};

/// How fast routes get to the proxies on a real cluster, and what that costs the operator
#[derive(Parser)]
#[command(name = "bench-probe", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    run(&Arguments::parse().options)
}

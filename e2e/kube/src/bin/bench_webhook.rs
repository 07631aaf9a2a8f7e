//! The benchmark of admission as a program: see [`keyward_e2e_kube::bench::webhook`].

use clap::Parser;
use keyward_e2e_kube::bench::webhook::{Options, run};

/// What admission costs on a real API server: none, a ValidatingAdmissionPolicy, a controller-runtime webhook, and ours
#[derive(Parser)]
#[command(name = "bench-webhook", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    run(&Arguments::parse().options)
}

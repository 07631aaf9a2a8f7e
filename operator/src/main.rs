//! `keyward-operator`: the control plane in a cluster.

use clap::Parser;
use operator::Options;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Turns Gateways and routes into managed proxies, and tells the truth about them.
#[derive(Parser)]
#[command(name = "keyward-operator", version)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    pod::log::start(&["operator"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = pod::stop::on_signal()?;
        operator::run(args.options, stop).await
    })
}

//! `keyward-webhook`: admission in a cluster.

use clap::Parser;
use webhook::Options;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Keeps credentials out of manifests.
#[derive(Parser)]
#[command(name = "keyward-webhook", version)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    pod::log::start(&["webhook"]);
    // One thread: a review takes microseconds, and memory is what a webhook should not take.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = pod::stop::on_signal()?;
        webhook::run(args.options, stop).await
    })
}

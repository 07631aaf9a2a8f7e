//! Logs: structured, to standard error, at `RUST_LOG`'s level, but never the details of HTTP and TLS libraries, whose traces could show
//! a header, and never what a panic says.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Libraries that see requests in clear; their logs stop at warnings, whatever is asked for.
const QUIET: [&str; 10] =
    ["hyper", "hyper_util", "h2", "tonic", "tower", "rustls", "tokio_rustls", "hickory_resolver", "hickory_proto", "hickory_net"];

/// Starts logging. `RUST_LOG` is as tracing-subscriber documents it. From then on the log says where a panic was and not what it said,
/// since nobody can know what that quotes. It ends what it is in, which is seldom more than a connection.
pub fn start(format: LogFormat, default: LevelFilter) {
    let filter = EnvFilter::builder().with_default_directive(default.into()).from_env_lossy();
    let allowed = filter_fn(|event| *event.level() <= Level::WARN || !is_quiet(event.target()));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start (tests in one process) keeps the first.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_filter(allowed)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(allowed)).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(code.location = place, "this should not happen; please report it");
    }));
}

fn is_quiet(target: &str) -> bool {
    QUIET.contains(&target.split("::").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CANARY: &str = "sk-canary";

    /// Runs itself in a process of its own.
    #[test]
    fn a_panic_says_where_but_not_what_and_ends_no_more_than_its_thread() {
        const PANICS: &str = "KEYWARD_TEST_PANICS";
        if std::env::var_os(PANICS).is_some() {
            start(LogFormat::Json, LevelFilter::INFO);
            assert!(std::thread::spawn(|| -> u8 { panic!("{CANARY}") }).join().is_err());
            return;
        }
        let name = "logging::tests::a_panic_says_where_but_not_what_and_ends_no_more_than_its_thread";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(PANICS, "1").env_remove("RUST_LOG").output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success() && said.contains("logging.rs:") && said.contains("test result: ok"), "{said}");
        assert!(!said.contains(CANARY), "{said}");
    }
}

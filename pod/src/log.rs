//! Logs that cannot leak: one JSON object per line, to standard output, at `RUST_LOG`'s level. Reviews, Secrets and tokens pass through
//! libraries in clear, and some of them trace what passes: hyper, h2, tower, axum, tonic, rustls, and the API's client, which shows answers
//! that it cannot read. So the logs of what is not ours stop at errors, whatever is asked for. It is ours that is listed: a list of the
//! others would miss the next one.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// This room.
const HERE: &str = "pod";

/// Starts the logs of this room and of these, each by its library's name. From then on a panic is as [`crate::panic`] has it.
pub fn start(rooms: &'static [&'static str]) {
    let asked = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    subscriber(rooms, asked, std::io::stdout).init();
    crate::panic::set_hook();
}

fn subscriber<W>(rooms: &'static [&'static str], asked: EnvFilter, writer: W) -> impl Subscriber + Send + Sync + 'static
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let allowed = filter_fn(move |what| *what.level() == Level::ERROR || is_ours(rooms, what.target()));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(allowed);
    tracing_subscriber::registry().with(asked).with(lines)
}

/// A target is a module's path unless somebody says otherwise.
fn is_ours(rooms: &[&str], target: &str) -> bool {
    let room = target.split("::").next().unwrap_or_default();
    room == HERE || rooms.contains(&room)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    const CANARY: &str = "sk-canary";

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged, with this in `RUST_LOG`, by a program with the room `webhook`.
    fn logged(asked: &str, events: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(&["webhook"], EnvFilter::new(asked), move || writer.clone()), events);
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    const OF_LIBRARIES: [fn(); 8] = [
        || tracing::trace!(target: "hyper::proto::h1::io", "received {CANARY}"),
        || tracing::trace!(target: "h2::codec::framed_read", "{CANARY}"),
        || tracing::debug!(target: "tower_http::trace", "{CANARY}"),
        || tracing::trace!(target: "axum::rejection", "{CANARY}"),
        || tracing::trace!(target: "kube_client", "{CANARY}"),
        || tracing::warn!(target: "kube_client::client", "{CANARY}"),
        || tracing::warn!(target: "kube_runtime::watcher", "{CANARY}"),
        || tracing::trace!(target: "webhookish", "{CANARY}"),
    ];

    fn of_ours() {
        let span = tracing::debug_span!(target: "kube_client::client::builder", "HTTP", url = CANARY);
        span.in_scope(|| tracing::trace!(target: "webhook::service", "a review"));
        tracing::trace!(target: "pod::authority", "a certificate");
    }

    #[test]
    fn shows_nothing_of_libraries_whatever_is_asked_for() {
        for asked in ["trace", "hyper=trace,h2=trace,tower_http=trace,axum=trace,kube_client=trace,kube_runtime=trace,webhookish=trace"] {
            assert_eq!(logged(asked, || OF_LIBRARIES.iter().for_each(|event| event())), "", "{asked}");
        }
    }

    #[test]
    fn shows_ours_at_the_level_that_is_asked_for_and_nothing_of_the_libraries_around_it() {
        let lines = logged("trace", of_ours);
        assert!(lines.contains("a review") && lines.contains("a certificate"), "{lines}");
        assert!(!lines.contains(CANARY), "{lines}");
        assert_eq!(logged("info", of_ours), "");
    }

    #[test]
    fn shows_errors_of_libraries() {
        assert!(logged("info", || tracing::error!(target: "hyper", "an error")).contains("an error"));
    }
}

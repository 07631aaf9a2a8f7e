//! What a request's `x-echo-` headers ask of the backend.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// When the request's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    First,
    Later,
    Never,
    Hang,
}

/// All wishes of one request.
pub(super) struct Wishes {
    pub(super) status: StatusCode,
    /// How many requests get that status; all, unless the request says so.
    pub(super) fail_first: u64,
    pub(super) drop: u64,
    pub(super) delay: Duration,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    pub(super) bytes: Option<usize>,
    pub(super) pause: Duration,
    pub(super) read: Read,
}

impl Wishes {
    /// The wishes in these headers for the backend `name`.
    pub(super) fn of(headers: &HeaderMap, name: &str) -> Self {
        let elsewhere = text(headers, "x-echo-at").is_some_and(|at| at != name);
        let nothing = HeaderMap::new();
        let headers = if elsewhere { &nothing } else { headers };
        Self {
            status: number(headers, "x-echo-status").unwrap_or(StatusCode::OK),
            fail_first: number(headers, "x-echo-fail-first").unwrap_or(u64::MAX),
            drop: number(headers, "x-echo-drop").unwrap_or_default(),
            delay: millis(headers, "x-echo-delay"),
            headers: pairs(headers, "x-echo-header"),
            trailers: pairs(headers, "x-echo-trailers"),
            bytes: number(headers, "x-echo-bytes"),
            pause: millis(headers, "x-echo-pause"),
            read: match text(headers, "x-echo-read") {
                Some("later") => Read::Later,
                Some("never") => Read::Never,
                Some("hang") => Read::Hang,
                Some(_) | None => Read::First,
            },
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn number<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    text(headers, name)?.parse().ok()
}

fn millis(headers: &HeaderMap, name: &str) -> Duration {
    Duration::from_millis(number(headers, name).unwrap_or_default())
}

/// `NAME=VALUE,..`
fn pairs(headers: &HeaderMap, name: &str) -> HeaderMap {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
    };
    text(headers, name).into_iter().flat_map(|pairs| pairs.split(',')).filter_map(pair).collect()
}

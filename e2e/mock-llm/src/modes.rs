//! How a test asks the provider to misbehave: `x-mock-mode: slow=200,frames=3`, or the same text as the chat body's `user`.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// The ways of ruining an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wreck {
    /// Half of a body with `Content-Length`, then the connection is closed.
    Cut,
    /// The connection is closed in the middle of a streamed frame.
    CutStream,
    /// Bytes that are no HTTP.
    Garbage,
    /// The connection is closed without a byte of answer.
    Nothing,
    /// No answer, until [`crate::play::LONGEST`] is over.
    Hang,
    /// Two frames, then nothing more until [`crate::play::LONGEST`] is over.
    StallStream,
}

/// Everything one request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    pub(crate) slow: Duration,
    pub(crate) fail: Option<StatusCode>,
    pub(crate) wreck: Option<Wreck>,
    pub(crate) frames: Option<usize>,
    pub(crate) gap: Option<Duration>,
}

/// The modes a request asks for; the error names a term of `x-mock-mode` that is none.
pub(crate) fn chosen(headers: &HeaderMap, body: &Value) -> Result<Modes, String> {
    if let Some(value) = headers.get("x-mock-mode") {
        return parse(&String::from_utf8_lossy(value.as_bytes()));
    }
    // Any other `user` is just a user.
    let user = body.get("user").and_then(Value::as_str);
    Ok(user.and_then(|user| parse(user).ok()).unwrap_or_default())
}

fn parse(text: &str) -> Result<Modes, String> {
    let mut modes = Modes::default();
    for term in text.split(',').map(str::trim) {
        apply(&mut modes, term).ok_or_else(|| format!("Unknown mock mode: {term}"))?;
    }
    Ok(modes)
}

fn apply(modes: &mut Modes, term: &str) -> Option<()> {
    match term.split_once('=') {
        Some(("slow", ms)) => modes.slow = Duration::from_millis(ms.parse().ok()?),
        Some(("fail", status)) => modes.fail = Some(StatusCode::from_bytes(status.as_bytes()).ok()?),
        Some(("frames", count)) => modes.frames = Some(count.parse().ok()?),
        Some(("gap", ms)) => modes.gap = Some(Duration::from_millis(ms.parse().ok()?)),
        Some(_) => return None,
        None => modes.wreck = Some(wreck(term)?),
    }
    Some(())
}

fn wreck(term: &str) -> Option<Wreck> {
    match term {
        "cut" => Some(Wreck::Cut),
        "cut-stream" => Some(Wreck::CutStream),
        "garbage" => Some(Wreck::Garbage),
        "nothing" => Some(Wreck::Nothing),
        "hang" => Some(Wreck::Hang),
        "stall-stream" => Some(Wreck::StallStream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_several_terms() {
        let modes = parse("slow=20, frames=3,gap=0,cut-stream").unwrap();
        assert_eq!(modes.slow, Duration::from_millis(20));
        assert_eq!((modes.frames, modes.gap), (Some(3), Some(Duration::ZERO)));
        assert_eq!(modes.wreck, Some(Wreck::CutStream));
    }

    #[test]
    fn takes_an_ordinary_user_for_a_user() {
        let body = serde_json::json!({"user": "user-1234"});
        assert_eq!(chosen(&HeaderMap::new(), &body), Ok(Modes::default()));
    }

    #[test]
    fn refuses_an_unknown_mode_in_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert("x-mock-mode", http::HeaderValue::from_static("fial=500"));
        assert!(chosen(&headers, &Value::Null).is_err());
    }
}

//! `rules[].timeouts` and `rules[].retry`. Durations are GEP-2257: `1h30m10s500ms`.

use policy::config::{Retry, Timeouts};

use crate::finding::{Findings, Flaw};
use crate::model;

/// "When this field is unspecified, the time to wait between retry attempts is implementation-specific": long enough to let a refused
/// connection pass, too short for a person to notice.
const DEFAULT_BACKOFF_MS: u64 = 10;

pub(super) fn timeouts(given: Option<&model::Timeouts>, field: &str, findings: &mut Findings) -> Timeouts {
    let Some(given) = given else { return Timeouts::default() };
    judge_timeouts(given).unwrap_or_else(|flaw| {
        findings.push(flaw.under(".timeouts").accepted(field));
        Timeouts::default()
    })
}

fn judge_timeouts(given: &model::Timeouts) -> Result<Timeouts, Flaw> {
    let request_ms = timeout(given.request.as_deref(), ".request")?;
    let backend_request_ms = timeout(given.backend_request.as_deref(), ".backendRequest")?;
    match (request_ms, backend_request_ms) {
        // "the value of BackendRequest must be no more than the value of the Request timeout" (HTTPRouteTimeouts.backendRequest).
        (Some(request), Some(backend)) if backend > request => {
            Err(Flaw::new(".backendRequest", "backendRequest is longer than request: make it shorter or equal"))
        }
        _ => Ok(Timeouts { request_ms, backend_request_ms }),
    }
}

/// "Setting a timeout to the zero duration (e.g. "0s") SHOULD disable the timeout completely."
fn timeout(text: Option<&str>, below: &str) -> Result<Option<u64>, Flaw> {
    let duration = text.map(millis).transpose().map_err(|message| Flaw::new(below, message))?;
    Ok(duration.filter(|duration| *duration > 0))
}

pub(super) fn retry(given: Option<&model::Retry>, field: &str, findings: &mut Findings) -> Option<Retry> {
    judge_retry(given?).map_err(|flaw| findings.push(flaw.under(".retry").accepted(field))).ok()
}

fn judge_retry(given: &model::Retry) -> Result<Retry, Flaw> {
    let code = |(nth, code): (usize, &i64)| {
        let status = u16::try_from(*code).ok().filter(|code| (400..=599).contains(code));
        status.ok_or_else(|| Flaw::new(format!(".codes[{nth}]"), format!("{code} is not a status to retry: use 400 to 599")))
    };
    let attempts = given.attempts.unwrap_or(1);
    Ok(Retry {
        codes: given.codes.iter().enumerate().map(code).collect::<Result<_, _>>()?,
        attempts: u32::try_from(attempts)
            .map_err(|_| Flaw::new(".attempts", format!("{attempts} is not a number of tries: use 0 or more")))?,
        backoff_ms: match &given.backoff {
            Some(text) => millis(text).map_err(|message| Flaw::new(".backoff", message))?,
            None => DEFAULT_BACKOFF_MS,
        },
    })
}

fn millis(text: &str) -> Result<u64, &'static str> {
    let duration = text.parse::<gateway_api::Duration>().ok().and_then(|duration| u64::try_from(duration.as_millis()).ok());
    duration.ok_or("not a duration: write hours, minutes, seconds and milliseconds like 1h30m10s500ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn reads_durations() {
        for (text, expected) in [("0s", 0), ("10s", 10_000), ("1h30m10s500ms", 5_410_500), ("99999ms", 99_999), ("1m1m", 120_000)] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for bad in ["", "10", "1.5s", "-1s", "1d", "10 s", "100000s", "1us", "1s1s1s1s1s"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_a_try_longer_than_the_whole() {
        let timeouts =
            |request: &str, backend: &str| model::Timeouts { request: Some(request.into()), backend_request: Some(backend.into()) };
        assert!(judge_timeouts(&timeouts("1s", "2s")).is_err());
        assert_eq!(judge_timeouts(&timeouts("0s", "2s")), Ok(Timeouts { request_ms: None, backend_request_ms: Some(2000) }));
    }

    proptest! {
        #[test]
        fn adds_up_what_is_written(h in 0u64..99999, m in 0u64..99999, s in 0u64..99999, ms in 0u64..99999) {
            prop_assert_eq!(millis(&format!("{h}h{m}m{s}s{ms}ms")).ok(), Some(((h * 60 + m) * 60 + s) * 1000 + ms).filter(|total| *total <= 359_999_999_999));
        }

        #[test]
        fn any_text_is_judged_without_panic(text in any::<String>()) {
            let _ = millis(&text);
        }
    }
}

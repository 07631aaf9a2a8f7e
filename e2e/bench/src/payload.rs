//! The bytes of the workload: what clients ask, what backends answer, which credential must arrive. Fixed, so that every subject's
//! answer can be compared byte for byte.

use std::fmt::Write;
use std::time::Duration;

/// The one host that is served.
pub const HOST: &str = "bench.test";
/// The path every request must have when it reaches the backend.
pub const UPSTREAM_PATH: &str = "/v1/chat/completions";
/// A request header that every subject sets.
pub const ROUTE_HEADER: (&str, &str) = ("x-bench-route", "bench");
/// The credential every subject injects, without `Bearer `.
pub const TOKEN: &str = "sk-bench-4f1d9c0a7be2463f8d5c1e90ab37d264";
/// Asks the backend for a stream of that many events.
pub const EVENTS_HEADER: &str = "x-bench-events";
/// Pause between two events of a stream: 100 events per second.
pub const EVENT_INTERVAL: Duration = Duration::from_millis(10);
/// Size of the JSON answer.
const ANSWER_BYTES: usize = 1024;

const MODEL: &str = "gpt-4o-mini-2024-07-18";

/// The value of `Authorization` that must reach the backend.
pub fn credential() -> String {
    format!("Bearer {TOKEN}")
}

/// What distinguishes one load's requests from another's.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Path as the client sends it.
    pub path: &'a str,
    /// Whether the client already sends what a subject would set: then nothing is left for the subject but to forward.
    pub dressed: bool,
    /// Whether the connection ends with the answer.
    pub close: bool,
    /// Events to stream; `None`: one JSON answer.
    pub events: Option<u32>,
}

/// A whole request, about 250 bytes of it body. Unless it is dressed, it carries a credential of the client's own, which must not arrive.
pub fn request(ask: Ask<'_>) -> Vec<u8> {
    let body = request_body(ask.events.is_some());
    let (name, value) = ROUTE_HEADER;
    let mut text = format!("POST {} HTTP/1.1\r\nhost: {HOST}\r\nuser-agent: keyward-bench\r\naccept: application/json\r\n", ask.path);
    text += &match ask.dressed {
        true => format!("authorization: {}\r\n{name}: {value}\r\n", credential()),
        false => "authorization: Bearer sk-the-clients-own\r\n".to_owned(),
    };
    if ask.close {
        text += "connection: close\r\n";
    }
    if let Some(events) = ask.events {
        text += &format!("{EVENTS_HEADER}: {events}\r\n");
    }
    let _infallible = write!(text, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}

fn request_body(stream: bool) -> String {
    let options = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"You are a poetic assistant, skilled in explaining complex concepts with flair."}},{{"role":"user","content":"Compose a poem that explains recursion in programming."}}]{options}}}"#
    )
}

/// The JSON answer: a chat completion with usage, 1 KB.
pub fn answer() -> String {
    let head = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":""#
    );
    let tail = r#"","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":42,"completion_tokens":118,"total_tokens":160,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_bench"}"#;
    let room = ANSWER_BYTES.saturating_sub(head.len() + tail.len());
    let content: String =
        "A function calls itself, and calls again, until the base case ends its long refrain. ".chars().cycle().take(room).collect();
    format!("{head}{content}{tail}")
}

/// One event of a stream.
pub fn event() -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"{MODEL}\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" recursion\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

/// What ends a stream: the finish reason, the usage, and `[DONE]`.
pub fn last_events() -> String {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"{MODEL}\",{rest}}}\n\n"
        )
    };
    let finish = chunk(r#""choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null"#);
    let usage = chunk(r#""choices":[],"usage":{"prompt_tokens":42,"completion_tokens":400,"total_tokens":442}"#);
    format!("{finish}{usage}data: [DONE]\n\n")
}

/// A running FNV-1a: enough to tell two streams apart, and cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// What a whole stream of that many events must give.
    pub fn of_stream(events: u32) -> Self {
        let (mut digest, event) = (Self::default(), event());
        for _ in 0..events {
            digest.update(event.as_bytes());
        }
        digest.update(last_events().as_bytes());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_one_kilobyte_of_json_with_usage() {
        let answer = answer();
        let json: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((answer.len(), &json["usage"]["total_tokens"]), (ANSWER_BYTES, &160.into()));
    }

    #[test]
    fn every_event_is_json_or_done() {
        for event in format!("{}{}", event(), last_events()).split_terminator("\n\n") {
            let data = event.strip_prefix("data: ").unwrap();
            assert!(data == "[DONE]" || serde_json::from_str::<serde_json::Value>(data).is_ok(), "{data}");
        }
    }

    #[test]
    fn asks_with_valid_json() {
        assert!([true, false].into_iter().all(|stream| serde_json::from_str::<serde_json::Value>(&request_body(stream)).is_ok()));
    }
}

//! Anthropic's answers: messages and their event streams.

use bytes::Bytes;
use serde_json::{Value, json};

const INPUT_TOKENS: u64 = 25;
const OUTPUT_TOKENS: u64 = 15;

/// A message.
pub(crate) fn message(id: u64, body: &Value) -> Value {
    json!({
        "id": format!("msg_mock{id:08}"),
        "type": "message",
        "role": "assistant",
        "model": model(body),
        "content": [{"type": "text", "text": "A function that calls itself."}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    })
}

/// A streamed message: its start, `frames` deltas, and the end with the usage.
pub(crate) fn message_stream(id: u64, body: &Value, frames: usize) -> Vec<Bytes> {
    let mut stream = vec![start(id, body)];
    stream.push(event("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}})));
    stream
        .extend((0..frames).map(|_| event("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": "itself "}}))));
    stream.push(event("content_block_stop", json!({"index": 0})));
    let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
    stream.push(event("message_delta", json!({"delta": delta, "usage": {"output_tokens": frames}})));
    stream.push(event("message_stop", json!({})));
    stream
}

fn start(id: u64, body: &Value) -> Bytes {
    let mut message = message(id, body);
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    message["usage"]["output_tokens"] = json!(1);
    event("message_start", json!({"message": message}))
}

fn event(name: &str, mut data: Value) -> Bytes {
    data["type"] = json!(name);
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

fn model(body: &Value) -> &str {
    body.get("model").and_then(Value::as_str).unwrap_or("claude-sonnet-4-5")
}

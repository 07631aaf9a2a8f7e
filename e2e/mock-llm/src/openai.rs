//! OpenAI's answers (Azure's and Mistral's too): chat completions, their streams, embeddings, models, errors.

use bytes::Bytes;
use serde_json::{Value, json};

/// The time of the guide's example answer; a clock would add nothing.
const CREATED: u64 = 1_727_967_462;
const PROMPT_TOKENS: u64 = 39;
const COMPLETION_TOKENS: u64 = 200;
const POEM: &str = "In the world of code, a method elegant and rare,\nKnown as recursion, a loop beyond compare.";
/// Numbers in an embedding; the real ones have 1536.
const DIMENSIONS: u32 = 8;

/// An error in the shape OpenAI's clients read.
pub(crate) fn error(message: &str, kind: &str, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// A chat completion.
pub(crate) fn completion(id: u64, body: &Value) -> Value {
    json!({
        "id": completion_id(id),
        "object": "chat.completion",
        "created": CREATED,
        "model": model(body),
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": POEM, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop"
        }],
        "usage": usage(COMPLETION_TOKENS),
        "system_fingerprint": null
    })
}

/// A streamed chat completion: `frames` chunks, the usage if it was asked for, and the end mark.
pub(crate) fn completion_stream(id: u64, body: &Value, frames: usize) -> Vec<Bytes> {
    let wants_usage = body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
    let mut stream: Vec<Bytes> = (0..frames)
        .map(|index| {
            let mut chunk = chunk(id, body, json!([choice(index, frames)]));
            if wants_usage {
                chunk["usage"] = Value::Null;
            }
            event(&chunk)
        })
        .collect();
    if wants_usage {
        let mut last = chunk(id, body, json!([]));
        last["usage"] = usage(u64::try_from(frames).unwrap_or(u64::MAX));
        stream.push(event(&last));
    }
    stream.push(Bytes::from_static(b"data: [DONE]\n\n"));
    stream
}

fn choice(index: usize, frames: usize) -> Value {
    let finish_reason = if index + 1 == frames { json!("stop") } else { Value::Null };
    let word = POEM.split_inclusive(' ').cycle().nth(index % 16).unwrap_or_default();
    let mut delta = json!({"content": word});
    if index == 0 {
        delta["role"] = json!("assistant");
        delta["refusal"] = Value::Null;
    }
    json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason})
}

fn chunk(id: u64, body: &Value, choices: Value) -> Value {
    json!({
        "id": completion_id(id),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model(body),
        "system_fingerprint": null,
        "choices": choices
    })
}

fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

/// Embeddings of each input, always as a list of numbers. The official Python client asks for base64 and reads a list as well.
pub(crate) fn embeddings(body: &Value) -> Value {
    let count = body.get("input").and_then(Value::as_array).map_or(1, Vec::len);
    let vector: Vec<f64> = (0..DIMENSIONS).map(|index| f64::from(index) / 16.0).collect();
    let data: Vec<Value> = (0..count).map(|index| json!({"object": "embedding", "index": index, "embedding": vector})).collect();
    json!({
        "object": "list",
        "data": data,
        "model": model(body),
        "usage": {"prompt_tokens": 8, "total_tokens": 8}
    })
}

/// The list of models.
pub(crate) fn models() -> Value {
    let model = |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "mock-llm"});
    json!({"object": "list", "data": [model("gpt-3.5-turbo"), model("gpt-4o-mini"), model("text-embedding-3-small")]})
}

fn completion_id(id: u64) -> String {
    format!("chatcmpl-mock{id:08}")
}

fn model(body: &Value) -> &str {
    body.get("model").and_then(Value::as_str).unwrap_or("gpt-3.5-turbo")
}

fn usage(completion_tokens: u64) -> Value {
    json!({
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS.saturating_add(completion_tokens),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0}
    })
}

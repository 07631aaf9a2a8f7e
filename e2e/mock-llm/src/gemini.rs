//! Gemini's answers, which are Vertex AI's too: `generateContent` and `streamGenerateContent`, as events or as a JSON array.

use bytes::Bytes;
use serde_json::{Value, json};

const PROMPT_TOKENS: usize = 12;
const CANDIDATE_TOKENS: usize = 34;

/// A whole answer.
pub(crate) fn content() -> Value {
    let mut answer = candidate("A function that calls itself.", true);
    answer["usageMetadata"] = usage(CANDIDATE_TOKENS);
    answer
}

/// A streamed answer: events with `alt=sse`, else the elements of one JSON array. The last element has the usage.
pub(crate) fn content_stream(frames: usize, as_events: bool) -> Vec<Bytes> {
    let mut stream: Vec<Bytes> = (0..frames).map(|index| element(index, frames, as_events)).collect();
    if !as_events {
        stream.push(Bytes::from_static(b"]\n"));
    }
    stream
}

fn element(index: usize, frames: usize, as_events: bool) -> Bytes {
    let last = index + 1 == frames;
    let mut answer = candidate("itself ", last);
    if last {
        answer["usageMetadata"] = usage(frames);
    }
    let text = match (as_events, index) {
        (true, _) => format!("data: {answer}\r\n\r\n"),
        (false, 0) => format!("[{answer}\n"),
        (false, _) => format!(",\n{answer}\n"),
    };
    Bytes::from(text)
}

fn candidate(text: &str, last: bool) -> Value {
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-2.5-flash"})
}

fn usage(candidates: usize) -> Value {
    json!({"promptTokenCount": PROMPT_TOKENS, "candidatesTokenCount": candidates, "totalTokenCount": PROMPT_TOKENS + candidates})
}

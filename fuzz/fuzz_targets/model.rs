//! Any body may be sent to an Upstream that fixes the model. Nothing panics, and where reads end makes no difference. A JSON object
//! leaves as the same object with that model; any other JSON is refused, for it might name a model that nobody reads.
#![no_main]

use input::chunks::{chunks, whole};
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::rewrite_model;
use serde_json::Value;

/// With all that must be escaped.
const MODEL: &str = "gpt-4o \"mini\" \\ \u{7} é";

fuzz_target!(|marked: &[u8]| judge(marked));

fn judge(marked: &[u8]) {
    let body = whole(marked);
    let sent = rewrite_model(MODEL, [&body[..]]);
    assert_eq!(rewrite_model(MODEL, chunks(marked)), sent, "the same in pieces");
    match (serde_json::from_slice(&body), sent) {
        (Ok(value @ Value::Object(_)), Some(sent)) => assert_eq!(parsed(&sent), replaced(value)),
        (Ok(Value::Object(_)), None) => panic!("an object was refused"),
        (Ok(_), Some(_)) => panic!("passed on, although it is no object"),
        (Ok(_), None) | (Err(_), _) => {}
    }
}

fn parsed(sent: &[u8]) -> Value {
    serde_json::from_slice(sent).expect("an object leaves as valid JSON")
}

fn replaced(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.insert("model".to_owned(), MODEL.into());
    }
    value
}

//! Any bytes may come as a provider's answer. Reading the usage never panics and holds a bounded buffer, however long the answer; where
//! reads end makes no difference to what is counted, as long as the whole was worth counting.
#![no_main]

use input::chunks::{chunks, whole};
use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::{Answer, Counted, Reader};
use serde_json::Value;

/// An answer up to this length is never cut by the reader itself.
const SHORT: usize = 16 * 1024;
/// No reader holds more between two reads.
const MOST_HELD: usize = 64 * 1024;
/// Long enough to overflow a buffer that had no bound.
const LONG: usize = 80 * 1024;
/// A shorter answer would have to be repeated too often.
const WORTH_REPEATING: usize = 256;

fuzz_target!(|marked: &[u8]| judge(marked));

fn judge(marked: &[u8]) {
    for answer in [Answer::Json, Answer::Events] {
        splits_alike(answer, marked);
        if marked.len() >= WORTH_REPEATING {
            stays_small(answer, marked);
        }
    }
}

/// The same pieces over and over.
fn stays_small(answer: Answer, marked: &[u8]) {
    let (mut reader, mut fed) = (Reader::new(answer), 0);
    while fed <= LONG {
        for chunk in chunks(marked) {
            reader.feed(chunk);
            assert!(reader.held() <= MOST_HELD, "{} bytes held", reader.held());
        }
        // The marks count too, so that an answer of nothing but marks comes to an end.
        fed += marked.len();
    }
}

fn splits_alike(answer: Answer, marked: &[u8]) {
    let body = whole(marked);
    let (at_once, in_pieces) = (counted(answer, [&body[..]]), counted(answer, chunks(marked)));
    let comparable = match answer {
        Answer::Json => true,
        Answer::Events => is_stream(&body),
    };
    if body.len() <= SHORT && comparable {
        assert_eq!(tokens(&at_once), tokens(&in_pieces), "{answer:?}");
        if names_one_model(answer, &body) {
            assert_eq!(at_once, in_pieces, "{answer:?}");
        }
    }
}

fn counted<'c>(answer: Answer, pieces: impl IntoIterator<Item = &'c [u8]>) -> Option<Counted> {
    let mut reader = Reader::new(answer);
    pieces.into_iter().for_each(|piece| reader.feed(piece));
    reader.finish()
}

fn tokens(counted: &Option<Counted>) -> Option<(Option<u64>, Option<u64>)> {
    counted.as_ref().map(|counted| (counted.input, counted.output))
}

/// Events as the providers send them: known fields, and data that is an object on one line, or the end.
fn is_stream(body: &[u8]) -> bool {
    lines(body).all(|line| match line.strip_prefix(b"data:").map(<[u8]>::trim_ascii) {
        Some(b"[DONE]") => true,
        Some(data) => serde_json::from_slice::<Value>(data).is_ok_and(|value| value.is_object()),
        None => line.is_empty() || [&b"event:"[..], b"id:", b"retry:"].iter().any(|field| line.starts_with(field)),
    })
}

/// Whether all that names a model or usage names one model, once: only then is it the same one that is seen first, whatever is read first.
fn names_one_model(answer: Answer, body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let names = |part: &&str| part.contains("\"model") || part.contains("\"usage");
    let mut named = match answer {
        Answer::Json => vec![only_model(text)],
        Answer::Events => text.split('\n').filter(names).map(only_model).collect(),
    };
    named.dedup();
    matches!(named[..], [] | [Some(_)])
}

/// What stands in and after the one key that begins like `"model`, up to the end of its text.
fn only_model(text: &str) -> Option<[&str; 3]> {
    let (_, rest) = text.split_once("\"model").filter(|(_, rest)| !rest.contains("\"model"))?;
    let mut parts = rest.split('"');
    let name = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().map(|_| name)
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

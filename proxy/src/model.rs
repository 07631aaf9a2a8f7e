//! Replaces the top-level `model` of a JSON object as it streams by, because an Upstream may fix the model. The rest passes unread and
//! unbuffered. What is not a JSON object is refused: somebody pays for the model, and a body we cannot read might name another.

use bytes::{Bytes, BytesMut};

/// Rewrites one request body.
#[derive(Debug)]
pub(crate) struct ModelWriter {
    /// The new value, as JSON.
    value: Bytes,
    place: Place,
    depth: usize,
    key: Vec<u8>,
    replaced: bool,
    empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the opening brace.
    Start,
    /// Between tokens; `true`: the next string at depth one is a key.
    Between(bool),
    /// In a string: is it a top-level key, was the last byte a backslash.
    Text { key: bool, escaped: bool },
    /// After the key `model`, before its colon.
    Colon,
    /// Before the first byte of the value to drop.
    Value,
    /// In a string value to drop.
    DropText { escaped: bool },
    /// In a number, literal, array or object to drop, with the depth inside it.
    Drop { depth: usize, text: bool, escaped: bool },
    /// After the object's end.
    Pass,
    /// Not an object.
    Refused,
}

/// The body is not a JSON object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request body is not a JSON object")]
pub(crate) struct NotAnObject;

/// No key of interest is longer; longer ones are not remembered.
const LONGEST_KEY: usize = 64;

impl ModelWriter {
    pub(crate) fn new(model: &str) -> Self {
        let value = Bytes::from(serde_json::Value::from(model).to_string());
        Self { value, place: Place::Start, depth: 0, key: Vec::new(), replaced: false, empty: true }
    }

    /// The bytes to send for the bytes received.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Bytes, NotAnObject> {
        let mut out = BytesMut::with_capacity(bytes.len() + self.value.len() + 16);
        bytes.iter().for_each(|byte| self.step(*byte, &mut out));
        if self.place == Place::Refused { Err(NotAnObject) } else { Ok(out.freeze()) }
    }

    fn step(&mut self, byte: u8, out: &mut BytesMut) {
        self.place = match self.place {
            Place::Start => self.start(byte, out),
            Place::Between(key) => self.between(key, byte, out),
            Place::Text { key, escaped } => self.text(key, escaped, byte, out),
            Place::Colon => {
                out.extend_from_slice(&[byte]);
                if byte == b':' { Place::Value } else { Place::Colon }
            }
            Place::Value => self.value(byte, out),
            Place::DropText { escaped } => match (escaped, byte) {
                (false, b'"') => Place::Between(false),
                (false, b'\\') => Place::DropText { escaped: true },
                _ => Place::DropText { escaped: false },
            },
            Place::Drop { depth, text, escaped } => self.dropping((depth, text, escaped), byte, out),
            Place::Pass => {
                out.extend_from_slice(&[byte]);
                Place::Pass
            }
            Place::Refused => Place::Refused,
        };
    }

    fn start(&mut self, byte: u8, out: &mut BytesMut) -> Place {
        out.extend_from_slice(&[byte]);
        match byte {
            b'{' => {
                self.depth = 1;
                Place::Between(true)
            }
            b' ' | b'\t' | b'\r' | b'\n' => Place::Start,
            _ => Place::Refused,
        }
    }

    fn between(&mut self, key: bool, byte: u8, out: &mut BytesMut) -> Place {
        if byte == b'}' && self.depth == 1 && !self.replaced {
            let comma: &[u8] = if self.empty { b"" } else { b"," };
            out.extend_from_slice(&[comma, b"\"model\":", &self.value].concat());
        }
        out.extend_from_slice(&[byte]);
        match byte {
            b'"' => {
                self.empty = false;
                self.key.clear();
                Place::Text { key: key && self.depth == 1, escaped: false }
            }
            b'{' | b'[' => {
                self.depth += 1;
                Place::Between(false)
            }
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 { Place::Pass } else { Place::Between(false) }
            }
            b',' => Place::Between(self.depth == 1),
            _ => Place::Between(key),
        }
    }

    fn text(&mut self, key: bool, escaped: bool, byte: u8, out: &mut BytesMut) -> Place {
        out.extend_from_slice(&[byte]);
        match (escaped, byte) {
            (false, b'"') if key && self.is_model() => Place::Colon,
            (false, b'"') => Place::Between(false),
            (false, b'\\') => {
                self.remember(key, byte);
                Place::Text { key, escaped: true }
            }
            _ => {
                self.remember(key, byte);
                Place::Text { key, escaped: false }
            }
        }
    }

    fn remember(&mut self, key: bool, byte: u8) {
        if key && self.key.len() <= LONGEST_KEY {
            self.key.push(byte);
        }
    }

    /// Compares as JSON does: `mod\u0065l` names the same member.
    fn is_model(&self) -> bool {
        let quoted = [b"\"", &self.key[..], b"\""].concat();
        serde_json::from_slice::<String>(&quoted).is_ok_and(|key| key == "model")
    }

    fn value(&mut self, byte: u8, out: &mut BytesMut) -> Place {
        if byte.is_ascii_whitespace() {
            return Place::Value;
        }
        out.extend_from_slice(&self.value.clone());
        self.replaced = true;
        match byte {
            b'"' => Place::DropText { escaped: false },
            b'{' | b'[' => Place::Drop { depth: 1, text: false, escaped: false },
            _ => Place::Drop { depth: 0, text: false, escaped: false },
        }
    }

    fn dropping(&mut self, (depth, text, escaped): (usize, bool, bool), byte: u8, out: &mut BytesMut) -> Place {
        match (text, escaped, byte) {
            (true, false, b'\\') => Place::Drop { depth, text, escaped: true },
            (true, false, b'"') => Place::Drop { depth, text: false, escaped: false },
            (true, ..) => Place::Drop { depth, text, escaped: false },
            (false, _, b',' | b'}') if depth == 0 => self.between(false, byte, out),
            (false, _, b'"') => Place::Drop { depth, text: true, escaped: false },
            (false, _, b'{' | b'[') => Place::Drop { depth: depth + 1, text: false, escaped: false },
            (false, _, b'}' | b']') if depth == 1 => Place::Between(false),
            (false, _, b'}' | b']') => Place::Drop { depth: depth.saturating_sub(1), text: false, escaped: false },
            (false, ..) => Place::Drop { depth, text: false, escaped: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn rewrite(text: &str, at: usize) -> String {
        let mut writer = ModelWriter::new("new");
        let (first, second) = text.as_bytes().split_at(at.min(text.len()));
        String::from_utf8([writer.feed(first).unwrap(), writer.feed(second).unwrap()].concat()).unwrap()
    }

    #[test]
    fn replaces_only_the_top_level_member_whatever_its_spelling() {
        for (text, expected) in [
            (r#"{"model":"old","a":{"model":"x"}}"#, r#"{"model":"new","a":{"model":"x"}}"#),
            (r#"{"a":"\"model\":","mod\u0065l" : {"b":["}"]} }"#, r#"{"a":"\"model\":","mod\u0065l" :"new" }"#),
            (r#"{"a":["model",1]}"#, r#"{"a":["model",1],"model":"new"}"#),
            ("{}", r#"{"model":"new"}"#),
            (r#"{"model":12,"model":null}"#, r#"{"model":"new","model":"new"}"#),
        ] {
            for at in 0..=text.len() {
                assert_eq!(rewrite(text, at), expected);
            }
        }
    }

    #[test]
    fn refuses_what_might_name_a_model_that_we_do_not_read() {
        for body in [&b"[{\"model\":\"x\"}]"[..], b"text", b"\xef\xbb\xbf{\"model\":\"x\"}", b"{\0"] {
            let refused = ModelWriter::new("new").feed(body);
            assert_eq!(refused.is_err(), !body.starts_with(b"{"), "{body:?}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), "[\\PC\"\\\\]{0,6}".prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("model|[a-c\"\\\\]{0,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_whole_parse(value in any_json(), at in 0usize..200) {
            prop_assume!(value.is_object());
            let rewritten: Value = serde_json::from_str(&rewrite(&value.to_string(), at)).unwrap();
            let mut expected = value;
            if let Value::Object(members) = &mut expected {
                members.insert("model".into(), json!("new"));
            }
            prop_assert_eq!(rewritten, expected);
        }

        #[test]
        fn any_bytes_pass_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ModelWriter::new("new").feed(&bytes);
        }
    }
}

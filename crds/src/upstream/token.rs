//! The secret text of a manifest. Reading it, printing it and failing to read it never show it; serializing does, because the
//! object goes back to the API server as it came.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A credential written in a manifest, wiped from memory when dropped.
///
/// `Debug` and `Display` give `sha256:` and eight hex digits. The text is reached by [`Token::expose`], and by serializing the
/// object that holds it: what is serialized is for an API server, never for a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Takes ownership of secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True for `inline: ""`, which is a mistake of its own and not an absent token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        Sha256::digest(self.expose().as_bytes()).iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokenVisitor)
    }
}

/// Takes a string and refuses the rest. `serde`'s own refusal of a number repeats the number ("invalid type: integer `123`"), and
/// an unquoted token may look like one; so every scalar is refused in our words.
struct TokenVisitor;

fn unquoted<E: de::Error>() -> Result<Token, E> {
    Err(E::custom("a token must be a string: put it in double quotes"))
}

impl Visitor<'_> for TokenVisitor {
    type Value = Token;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token, which is a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Token, E> {
        Ok(Token::new(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Token, E> {
        Ok(Token::new(text))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Token, E> {
        unquoted()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Token, E> {
        unquoted()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Token, E> {
        unquoted()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Token, E> {
        unquoted()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Token, E> {
        unquoted()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Token, E> {
        unquoted()
    }
}

impl JsonSchema for Token {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

//! The two protobuf enums of `vertexAi`. JSON may carry such an enum by name or by number, and a newer Gloo may know names that we
//! do not: those are kept as written, for whoever serves the Upstream to refuse by name.
//!
//! On the schema. Gloo's says `type: string` beside `x-kubernetes-int-or-string: true`, and so does ours. An API server accepts the
//! pair: structural schema validation allows `type` to be absent with this extension and does not forbid it
//! (apiextensions-apiserver `pkg/apiserver/schema/validation.go`), and value validation replaces the type by
//! `[integer, string]` (`ConvertJSONSchemaPropsWithPostProcess`), so that numbers pass although the schema reads "string".

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// `vertexAi.publisher`: whose models are called.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(from = "NameOrNumber", into = "String")]
pub enum Publisher {
    /// `GOOGLE` or 0.
    #[default]
    Google,
    /// A name or number unknown to us, as text.
    Other(String),
}

/// `vertexAi.jsonSchema`: the shape of requests and answers.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(from = "NameOrNumber", into = "String")]
pub enum JsonSchemaName {
    /// `NOT_SET` or 0: the provider's own.
    #[default]
    NotSet,
    /// `ANTHROPIC` or 1.
    Anthropic,
    /// `GEMINI` or 2.
    Gemini,
    /// `OPENAI` or 3.
    OpenAi,
    /// A name or number unknown to us, as text.
    Other(String),
}

/// An enum value as protobuf's JSON mapping allows it: "Parsers accept both enum names and integer values".
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(i64),
    Name(String),
}

impl NameOrNumber {
    /// The name, where `names` holds them in the order of their numbers.
    fn into_name(self, names: &[&str]) -> String {
        match self {
            Self::Name(name) => name,
            Self::Number(number) => usize::try_from(number)
                .ok()
                .and_then(|index| names.get(index))
                .map_or_else(|| number.to_string(), |name| (*name).to_owned()),
        }
    }
}

const GOOGLE: &str = "GOOGLE";
const NOT_SET: &str = "NOT_SET";
const ANTHROPIC: &str = "ANTHROPIC";
const GEMINI: &str = "GEMINI";
const OPENAI: &str = "OPENAI";

impl From<NameOrNumber> for Publisher {
    fn from(value: NameOrNumber) -> Self {
        let name = value.into_name(&[GOOGLE]);
        match name.as_str() {
            GOOGLE => Self::Google,
            _ => Self::Other(name),
        }
    }
}

impl From<Publisher> for String {
    fn from(publisher: Publisher) -> Self {
        match publisher {
            Publisher::Google => GOOGLE.to_owned(),
            Publisher::Other(name) => name,
        }
    }
}

impl From<NameOrNumber> for JsonSchemaName {
    fn from(value: NameOrNumber) -> Self {
        let name = value.into_name(&[NOT_SET, ANTHROPIC, GEMINI, OPENAI]);
        match name.as_str() {
            NOT_SET => Self::NotSet,
            ANTHROPIC => Self::Anthropic,
            GEMINI => Self::Gemini,
            OPENAI => Self::OpenAi,
            _ => Self::Other(name),
        }
    }
}

impl From<JsonSchemaName> for String {
    fn from(schema: JsonSchemaName) -> Self {
        match schema {
            JsonSchemaName::NotSet => NOT_SET.to_owned(),
            JsonSchemaName::Anthropic => ANTHROPIC.to_owned(),
            JsonSchemaName::Gemini => GEMINI.to_owned(),
            JsonSchemaName::OpenAi => OPENAI.to_owned(),
            JsonSchemaName::Other(name) => name,
        }
    }
}

fn name_or_number_schema() -> Schema {
    json_schema!({ "type": "string", "x-kubernetes-int-or-string": true })
}

impl JsonSchema for Publisher {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Publisher".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        name_or_number_schema()
    }
}

impl JsonSchema for JsonSchemaName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonSchemaName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        name_or_number_schema()
    }
}

//! An object of a review, as far as anybody looks at it here. The rest is often more: `status`, and most of `metadata`.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Reads the object. Null is none.
pub(super) fn read<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Value>, D::Error> {
    let value = Part::Object.deserialize(json)?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// What is being read.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Metadata,
}

/// A name in it.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    ApiVersion,
    Kind,
    Metadata,
    Spec,
    Namespace,
    Annotations,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(field) = map.next_key()? {
            let (name, value) = match (self, field) {
                (Self::Object, Field::ApiVersion) => ("apiVersion", map.next_value()?),
                (Self::Object, Field::Kind) => ("kind", map.next_value()?),
                (Self::Object, Field::Metadata) => ("metadata", map.next_value_seed(Self::Metadata)?),
                (Self::Object, Field::Spec) => ("spec", map.next_value()?),
                (Self::Metadata, Field::Namespace) => ("namespace", map.next_value()?),
                (Self::Metadata, Field::Annotations) => ("annotations", map.next_value()?),
                (Self::Object, Field::Namespace | Field::Annotations | Field::Other)
                | (Self::Metadata, Field::ApiVersion | Field::Kind | Field::Metadata | Field::Spec | Field::Other) => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            fields.insert(name.to_owned(), value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_out_what_is_not_looked_at_where_it_stands_and_nowhere_else() {
        let object = json!({
            "apiVersion": "gloo.solo.io/v1",
            "kind": "Upstream",
            "metadata": { "name": "u", "namespace": "n", "annotations": { "name": "a" }, "managedFields": [{ "fieldsV1": {} }] },
            "spec": { "status": 1, "managedFields": 1, "metadata": { "managedFields": 1 } },
            "status": { "conditions": [] },
            "other": 1,
        });
        let expected = json!({
            "apiVersion": "gloo.solo.io/v1",
            "kind": "Upstream",
            "metadata": { "namespace": "n", "annotations": { "name": "a" } },
            "spec": { "status": 1, "managedFields": 1, "metadata": { "managedFields": 1 } },
        });
        assert_eq!(read(object).unwrap(), Some(expected));
    }

    #[test]
    fn a_name_is_known_however_it_is_written_and_the_last_of_two_counts() {
        let text = r#"{ "sp\u0065c": 1, "kind": "a", "metadata": { "namesp\u0061ce": "n" }, "0": 2, "spec": 3 }"#;
        let read = read(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(read, Some(json!({ "kind": "a", "metadata": { "namespace": "n" }, "spec": 3 })));
    }

    #[test]
    fn null_is_no_object_and_a_text_is_a_mistake() {
        assert_eq!(read(Value::Null).unwrap(), None);
        assert_eq!(read(json!({ "metadata": null })).unwrap(), Some(json!({ "metadata": null })));
        assert!(read(json!("sk-canary")).is_err() && read(json!({ "metadata": ["sk-canary"] })).is_err());
    }
}

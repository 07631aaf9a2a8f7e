//! A patch over a pod template: objects field by field, lists of named things by their `name`, everything else whole.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize;
use serde_json::Value;

/// Lays `patch` over `base`; null removes a field.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (field, value) in patch {
                match value {
                    Value::Null => drop(base.remove(field)),
                    value => merge(base.entry(field.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (Value::Array(base), Value::Array(patch)) if patch.iter().all(|one| name(one).is_some()) => {
            for one in patch {
                match base.iter_mut().find(|known| name(known) == name(one)) {
                    Some(known) => merge(known, one),
                    None => base.push(one.clone()),
                }
            }
        }
        (base, patch) => *base = patch.clone(),
    }
}

fn name(value: &Value) -> Option<&str> {
    value.get("name")?.as_str()
}

/// Whether it is still a pod template. serde's words stay out of the message: they may quote a value.
pub(super) fn check(template: &Value) -> Result<(), String> {
    let kept = PodTemplateSpec::deserialize(template).is_ok_and(|template| template.spec.is_some());
    kept.then_some(()).ok_or_else(|| "podTemplate does not leave a valid pod template: give its fields the types that a pod has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_without_names_are_replaced_and_null_removes() {
        let mut base = json!({ "args": ["a", "b"], "x": 1, "env": [{ "name": "A", "value": "1" }] });
        merge(&mut base, &json!({ "args": ["c"], "x": null, "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] }));
        assert_eq!(base, json!({ "args": ["c"], "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] }));
    }
}

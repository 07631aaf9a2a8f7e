//! The audit of what is there already: an object as the API server has it, before what nothing else reads is dropped. It keeps no value.

use crds::credentials::LAST_APPLIED;
use serde_json::{Map, Value, json};
use translate::{InlineCredentials, Kind};

use crate::manifest::Manifest;
use crate::reading::resource;

/// What stands in an object of a kind that is audited. The spec is lent and not copied.
pub(crate) fn inline_credentials(kind: Kind, manifest: &mut Manifest) -> Option<InlineCredentials> {
    if !InlineCredentials::may_be_in(kind) {
        return None;
    }
    let resource = resource(kind);
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::String(resource.api_version));
    object.insert("kind".to_owned(), Value::String(resource.kind));
    object.insert("metadata".to_owned(), metadata(manifest));
    object.extend(manifest.rest.remove_entry("spec"));
    let mut object = Value::Object(object);
    let found = InlineCredentials::of(&object);
    if let Some(spec) = object.get_mut("spec").map(Value::take) {
        manifest.rest.insert("spec".to_owned(), spec);
    }
    Some(found)
}

/// As much of it as matters.
fn metadata(manifest: &Manifest) -> Value {
    let copy = manifest.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LAST_APPLIED));
    json!({ "namespace": manifest.metadata.namespace, "annotations": copy.map(|copy| json!({ LAST_APPLIED: copy })) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_the_copy_and_gives_the_spec_back() {
        let spec = json!({ "ai": { "openai": { "authToken": { "inline": "canary" } } } });
        let copy = json!({ "spec": spec }).to_string();
        let object = json!({ "metadata": { "name": "u", "annotations": { LAST_APPLIED: copy } }, "spec": spec });
        let mut manifest: Manifest = serde_json::from_value(object).unwrap();
        let found = inline_credentials(Kind::Upstream, &mut manifest).unwrap();
        assert_eq!((found.count(), manifest.rest.get("spec")), (2, Some(&spec)));
        assert!(!format!("{found:?}").contains("canary"));
        assert_eq!(inline_credentials(Kind::Secret, &mut manifest), None);
    }
}

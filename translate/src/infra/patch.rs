//! A patch over a pod template: objects field by field, lists of named things by their `name`, everything else whole.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use serde::Deserialize;
use serde_json::{Value, json};

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

/// Whether `patched` is still a pod template, and one that is allowed no more than `base`. `found_by` are the labels by which everybody finds the
/// proxies. serde's words stay out of the message: they may quote a value.
pub(super) fn check(base: &Value, patched: &Value, found_by: &BTreeMap<String, String>) -> Result<(), String> {
    let template = PodTemplateSpec::deserialize(patched).ok();
    let Some(spec) = template.and_then(|template| template.spec) else {
        return Err("podTemplate does not leave a valid pod template: give its fields the types that a pod has".to_owned());
    };
    let found = found_by.iter().all(|(name, value)| patched["metadata"]["labels"][name] == json!(value));
    let account = |template: &Value| template["spec"]["serviceAccountName"].clone();
    let host = [spec.host_network, spec.host_pid, spec.host_ipc].contains(&Some(true));
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let privileged = |container: &Container| container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    let refused = [
        (!found, "labels by which the proxies are found"),
        (account(base) != account(patched), "serviceAccountName"),
        (host, "hostNetwork, hostPID or hostIPC"),
        (containers.into_iter().any(privileged), "privileged containers"),
    ];
    match refused.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(format!("podTemplate cannot set or change {what}: remove that")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_gives_the_proxies_no_more_than_they_have() {
        let base =
            json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "serviceAccountName": "own", "containers": [{ "name": "proxy" }] } });
        let found_by = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let checked = |patch: Value| {
            let mut patched = base.clone();
            merge(&mut patched, &patch);
            check(&base, &patched, &found_by)
        };
        assert!(checked(json!({ "spec": { "nodeSelector": { "x": "y" } } })).is_ok());
        for patch in [
            json!({ "metadata": { "labels": { "a": "c" } } }),
            json!({ "spec": { "serviceAccountName": "other" } }),
            json!({ "spec": { "hostNetwork": true } }),
            json!({ "spec": { "containers": [{ "name": "proxy", "securityContext": { "privileged": true } }] } }),
        ] {
            assert!(checked(patch.clone()).is_err(), "{patch}");
        }
    }

    #[test]
    fn lists_without_names_are_replaced_and_null_removes() {
        let mut base = json!({ "args": ["a", "b"], "x": 1, "env": [{ "name": "A", "value": "1" }] });
        merge(&mut base, &json!({ "args": ["c"], "x": null, "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] }));
        assert_eq!(base, json!({ "args": ["c"], "env": [{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }] }));
    }
}

//! A Deployment's number of pods when an autoscaler takes over. A field that an apply no longer says is removed, unless it has another owner,
//! and the API server then puts its default there: one pod, until the autoscaler has acted. So the number gets an owner that waits for the
//! autoscaler, before ours lets go of it:
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>. What the number is, is not decided here.

use serde_json::{Value, json};
use translate::InfraObject;

use crate::manifest::Manifest;
use crate::status::FIELD_MANAGER;

/// Owns the number from our last apply that says it to the autoscaler's first write, which takes it away.
pub(super) const KEEPER: &str = "keyward-autoscaled";
const NUMBER: &str = "/spec/replicas";
/// The same in the notation of managed fields.
const OWNED_NUMBER: &str = "/f:spec/f:replicas";

/// Whether it is a Deployment that leaves its number to somebody else.
pub(super) fn are_left_out(object: &InfraObject) -> bool {
    object.kind == "Deployment" && object.value.pointer(NUMBER).is_none()
}

/// The number that an object has; it is not in the object any more then.
pub(super) fn take(live: &mut Manifest) -> Option<i64> {
    live.rest.get_mut("spec")?.as_object_mut()?.remove("replicas")?.as_i64()
}

/// What the keeper is to apply, so that the number outlives an apply of ours without it; `None`: the number is not ours any more.
pub(super) fn kept(live: &Manifest) -> Option<Value> {
    let entries = live.metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply"));
    ours.find(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(OWNED_NUMBER).is_some()))?;
    let number = live.rest.get("spec")?.get("replicas")?;
    // By its uid, so that none is made where one was just deleted.
    let metadata = json!({ "name": live.metadata.name, "namespace": live.metadata.namespace, "uid": live.metadata.uid });
    Some(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": { "replicas": number } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(manager: &str, operation: &str, fields: &Value) -> Manifest {
        let entry = json!({ "manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields });
        let metadata = json!({ "namespace": "ns", "name": "gw", "uid": "u", "managedFields": [entry] });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "replicas": 3, "paused": false } })).unwrap()
    }

    #[test]
    fn keeps_the_number_that_is_ours_and_nothing_else() {
        let kept = kept(&live(FIELD_MANAGER, "Apply", &json!({ "f:spec": { "f:replicas": {}, "f:paused": {} } }))).unwrap();
        assert_eq!((&kept["spec"], &kept["metadata"]["uid"]), (&json!({ "replicas": 3 }), &json!("u")));
    }

    #[test]
    fn leaves_a_number_alone_that_somebody_else_has_set() {
        let number = json!({ "f:spec": { "f:replicas": {} } });
        assert!(kept(&live("kube-controller-manager", "Update", &number)).is_none());
        assert!(kept(&live(KEEPER, "Apply", &number)).is_none());
        assert!(kept(&live(FIELD_MANAGER, "Apply", &json!({ "f:spec": { "f:paused": {} } }))).is_none());
    }

    #[test]
    fn only_a_deployment_without_a_number_leaves_it_out() {
        let object = |kind: &str, spec: Value| InfraObject {
            kind: kind.to_owned(),
            namespace: "ns".to_owned(),
            name: "gw".to_owned(),
            value: json!({ "spec": spec }),
        };
        assert!(are_left_out(&object("Deployment", json!({}))));
        assert!(!are_left_out(&object("Deployment", json!({ "replicas": 1 }))));
        assert!(!are_left_out(&object("Service", json!({}))));
    }

    #[test]
    fn takes_the_number_out_and_nothing_else() {
        let mut live = live(FIELD_MANAGER, "Apply", &json!({}));
        assert_eq!((take(&mut live), &live.rest["spec"]), (Some(3), &json!({ "paused": false })));
        assert_eq!(take(&mut live), None);
    }
}

//! Statuses of policies: one entry per Gateway that leads to a target. "In BackendTLSPolicy, the Policy attaches to a Service that is used
//! as a backend in a HTTPRoute that is itself attached to a Gateway. In this case, the relevant object for status is the Gateway"
//! (PolicyAncestorStatus).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::Stamp;
use crate::ObjectKey;
use crate::backend_tls::Judged;
use crate::finding::Aspect;
use crate::grant::GATEWAY_GROUP;
use crate::model::ParentRef;

/// Our entries of a policy's `status.ancestors`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// One per Gateway of ours, sorted.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// What a policy is to one Gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The Gateway, with group, kind and namespace.
    pub ancestor_ref: ParentRef,
    /// Ours.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

pub(crate) fn policy_status(policy: &Judged, gateways: &[&ObjectKey], controller: &str, now: Timestamp) -> PolicyStatus {
    let stamp = Stamp { now, generation: policy.generation };
    let conditions = [Aspect::Accepted, Aspect::ResolvedRefs].map(|aspect| stamp.judged(&policy.findings, aspect));
    let ancestor = |gateway: &&ObjectKey| PolicyAncestorStatus {
        ancestor_ref: reference(gateway),
        controller_name: controller.to_owned(),
        conditions: conditions.to_vec(),
    };
    PolicyStatus { ancestors: gateways.iter().map(ancestor).collect() }
}

fn reference(gateway: &ObjectKey) -> ParentRef {
    ParentRef {
        group: GATEWAY_GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        namespace: Some(gateway.namespace.clone()),
        name: gateway.name.clone(),
        section_name: None,
        port: None,
    }
}

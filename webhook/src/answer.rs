//! A verdict as an API server takes it.

use serde_json::{Map, Value, json};

use crate::decide::Verdict;

/// An `AdmissionReview` with the response.
pub fn answer(uid: &str, verdict: &Verdict) -> Value {
    let mut response = Map::new();
    response.insert("uid".to_owned(), json!(uid));
    response.insert("allowed".to_owned(), json!(verdict.refusal.is_none()));
    if let Some(refusal) = &verdict.refusal {
        let status = json!({ "status": "Failure", "code": refusal.code, "reason": refusal.reason, "message": refusal.message });
        response.insert("status".to_owned(), status);
    }
    if !verdict.warnings.is_empty() {
        response.insert("warnings".to_owned(), json!(verdict.warnings));
    }
    if !verdict.audit.is_empty() {
        response.insert("auditAnnotations".to_owned(), json!(verdict.audit));
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

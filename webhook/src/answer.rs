//! A verdict as an API server takes it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::decide::Verdict;
use crate::request::API_VERSION;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'v> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'v>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'v> {
    uid: &'v str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'v>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<&'v [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<&'v BTreeMap<&'static str, String>>,
}

#[derive(Serialize)]
struct Status<'v> {
    status: &'static str,
    code: u16,
    reason: &'static str,
    message: &'v str,
}

/// Holds what is answered about most objects.
const USUAL: usize = 512;

/// An `AdmissionReview` with the response, as JSON.
#[expect(clippy::expect_used, reason = "texts and numbers under names are JSON")]
pub fn answer(uid: &str, verdict: &Verdict) -> Vec<u8> {
    let refusal = verdict.refusal.as_ref();
    let response = Response {
        uid,
        allowed: refusal.is_none(),
        status: refusal.map(|why| Status { status: "Failure", code: why.code, reason: why.reason, message: &why.message }),
        warnings: Some(verdict.warnings.as_slice()).filter(|lines| !lines.is_empty()),
        audit_annotations: Some(&verdict.audit).filter(|notes| !notes.is_empty()),
    };
    let mut text = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut text, &Review { api_version: API_VERSION, kind: "AdmissionReview", response }).expect("an answer is JSON");
    text
}

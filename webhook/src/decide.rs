//! The decision. Pure: the same request and the same namespaces give the same verdict.

use std::collections::BTreeMap;

use crds::credentials::ratchet::{self, Compared};
use crds::credentials::{Kind, Level, Violation};
use serde_json::Value;

use crate::message;
use crate::namespaces::{Labelled, Namespaces};
use crate::request::{Operation, Request};

/// What is answered. It holds no text of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why not; absent when the object may pass.
    pub refusal: Option<Refusal>,
    /// For whoever writes the object.
    pub warnings: Vec<String>,
    /// For the audit log.
    pub audit: BTreeMap<&'static str, String>,
}

/// Why an object may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As HTTP has it.
    pub code: u16,
    /// As Kubernetes has it.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl Verdict {
    /// For metrics: one of four words.
    pub fn as_str(&self) -> &'static str {
        match &self.refusal {
            Some(refusal) if refusal.code == RETRY => "retry",
            Some(_) => "refused",
            None if self.warnings.is_empty() => "allowed",
            None => "warned",
        }
    }

    fn refused(code: u16, reason: &'static str, message: String) -> Self {
        Self { refusal: Some(Refusal { code, reason, message }), ..Self::default() }
    }
}

const FORBIDDEN: u16 = 403;
const RETRY: u16 = 503;

/// Decides about a request.
pub fn decide(request: &Request, namespaces: &Namespaces) -> Verdict {
    if !may_bring_something_in(request) {
        return Verdict::default();
    }
    let object = request.object.as_ref().filter(|object| Kind::of_object(object) == request.kind);
    let Some(object) = object else {
        let message = "the request's object is not of the request's kind: no API server sends that";
        return Verdict::refused(400, "BadRequest", message.to_owned());
    };
    let compared = ratchet::compare(object, request.old.as_ref());
    if compared.is_empty() {
        return Verdict::default();
    }
    match namespaces.get(&request.namespace) {
        Some(labelled) => judge(request, &compared, labelled),
        None => {
            let message = "the object may hold a credential, and the labels of its namespace are not known yet: try again in a moment";
            Verdict::refused(RETRY, "ServiceUnavailable", message.to_owned())
        }
    }
}

/// What changes neither spec nor annotations (status, finalizers, labels, owners) brings nothing in. So whoever takes a finalizer away is
/// never held up; that an object is going away says nothing else, for until it is gone it is served as it is written.
fn may_bring_something_in(request: &Request) -> bool {
    let (object, old) = (request.object.as_ref(), request.old.as_ref());
    let same = |way: &[&str]| at(object, way) == at(old, way);
    let touched = old.is_none() || !same(&["spec"]) || !same(&["metadata", "annotations"]);
    let writes = matches!(request.operation, Operation::Create | Operation::Update) && request.subresource.is_none();
    writes && request.kind.is_some() && touched
}

fn at<'v>(object: Option<&'v Value>, way: &[&str]) -> Option<&'v Value> {
    way.iter().try_fold(object?, |value, field| value.get(field))
}

fn judge(request: &Request, compared: &Compared, labelled: &Labelled) -> Verdict {
    let levels = labelled.levels;
    let introduced = |level: Level| compared.introduced.iter().filter(move |one: &&Violation| one.reason.level() <= level);
    let unchanged = |level: Level| compared.unchanged.iter().filter(move |one: &&Violation| one.reason.level() <= level);
    let refused: Vec<&Violation> = introduced(levels.enforce).collect();
    let mut verdict = Verdict { warnings: message::odd_labels(&request.namespace, &labelled.odd), ..Verdict::default() };
    // What is refused is recorded, however little is to be.
    let recorded: Vec<&Violation> = introduced(levels.audit.max(levels.enforce)).chain(unchanged(levels.audit)).collect();
    if !recorded.is_empty() {
        verdict.audit.insert("enforce", levels.enforce.to_string());
        verdict.audit.insert("violations", message::audit(&recorded));
    }
    if refused.is_empty() {
        // What stays because it was there before is worth a warning wherever it would be refused.
        let kept = unchanged(levels.warn.max(levels.enforce));
        let warned: Vec<&Violation> = introduced(levels.warn).chain(kept).collect();
        verdict.warnings.extend(message::warnings(request, &warned));
    } else {
        let message = message::refusal(request, levels.enforce, &refused);
        verdict.refusal = Some(Refusal { code: FORBIDDEN, reason: "Forbidden", message });
    }
    verdict
}

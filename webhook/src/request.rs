//! What an API server asks. Read leniently, because a field that nobody needs must not hold anybody up, and with errors in our own words,
//! because a parser's words quote what it read.

mod object;

use crds::credentials::Kind;
use serde::Deserialize;
use serde_json::Value;

/// The longest review that is read. etcd takes objects of 1.5 MiB at most, an update brings two, and there is an envelope around them.
pub const LONGEST: usize = 4 * 1024 * 1024;

const NAMES: [&str; 3] = ["Upstream", "HTTPRoute", "GRPCRoute"];

/// Of reviews, asked and answered.
pub(crate) const API_VERSION: &str = "admission.k8s.io/v1";

/// An admission request. Not printable: its objects may hold credentials.
#[derive(Clone)]
pub struct Request {
    /// To be repeated in the answer.
    pub uid: String,
    /// `None` for a kind that is not judged.
    pub kind: Option<Kind>,
    /// The kind as its users write it, such as `HTTPRoute`; empty for one that we do not know.
    pub kind_name: &'static str,
    /// Empty while the API server has yet to make one (`generateName`).
    pub name: String,
    /// Empty for what has none.
    pub namespace: String,
    /// What is done to the object.
    pub operation: Operation,
    /// Such as `status`.
    pub subresource: Option<String>,
    /// The object as it would be, as far as it is looked at; absent when it is deleted.
    pub object: Option<Value>,
    /// The object as it is; absent when it is created.
    pub old: Option<Value>,
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Made.
    Create,
    /// Changed.
    Update,
    /// Deleted, connected to, or whatever else API servers come to ask: it brings nothing in.
    Other,
}

/// Why a review cannot be answered. An API server takes this as a failed call, and its failure policy refuses.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Not JSON, or nested deeper than 128 levels.
    #[error("not JSON that can be read, at line {line}, column {column}")]
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// JSON of another shape.
    #[error("not an AdmissionReview as admission.k8s.io/v1 has it")]
    Shape,
    /// Another version, or another kind.
    #[error("not an AdmissionReview of admission.k8s.io/v1: set admissionReviewVersions to [v1]")]
    Version,
    /// An answer, or nothing.
    #[error("an AdmissionReview without a request")]
    NoRequest,
    /// It could not be answered.
    #[error("a request without a uid")]
    NoUid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: Option<String>,
    kind: Option<String>,
    request: Option<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    uid: Option<String>,
    kind: Option<GroupKind>,
    sub_resource: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    operation: Option<String>,
    #[serde(default, deserialize_with = "object::read")]
    object: Option<Value>,
    #[serde(default, deserialize_with = "object::read")]
    old_object: Option<Value>,
}

#[derive(Deserialize)]
struct GroupKind {
    group: Option<String>,
    kind: Option<String>,
}

impl Request {
    /// Reads an `AdmissionReview`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let review: Review = serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
            true => Undecodable::Shape,
            false => Undecodable::NotJson { line: error.line(), column: error.column() },
        })?;
        if (review.api_version.as_deref(), review.kind.as_deref()) != (Some(API_VERSION), Some("AdmissionReview")) {
            return Err(Undecodable::Version);
        }
        let asked = review.request.ok_or(Undecodable::NoRequest)?;
        let uid = asked.uid.filter(|uid| !uid.is_empty()).ok_or(Undecodable::NoUid)?;
        let (group, kind) = asked.kind.map(|gk| (gk.group.unwrap_or_default(), gk.kind.unwrap_or_default())).unwrap_or_default();
        let operation = match asked.operation.as_deref() {
            Some("CREATE") => Operation::Create,
            Some("UPDATE") => Operation::Update,
            _ => Operation::Other,
        };
        Ok(Self {
            uid,
            kind: Kind::of(&group, &kind),
            kind_name: NAMES.into_iter().find(|name| *name == kind).unwrap_or_default(),
            name: asked.name.unwrap_or_default(),
            namespace: asked.namespace.unwrap_or_default(),
            operation,
            subresource: asked.sub_resource.filter(|name| !name.is_empty()),
            object: asked.object,
            old: asked.old_object.filter(|_| operation == Operation::Update),
        })
    }
}

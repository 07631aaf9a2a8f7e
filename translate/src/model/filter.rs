//! Filters, as written. A type we do not know is a text like any other.

use serde::{Deserialize, Serialize};

use super::BackendRef;

/// A filter of any type: the body that its type names, if it is there. Bodies are boxed: a filter has one of them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) request_header_modifier: Option<Box<HeaderModifier>>,
    pub(crate) response_header_modifier: Option<Box<HeaderModifier>>,
    pub(crate) request_redirect: Option<Box<RequestRedirect>>,
    pub(crate) url_rewrite: Option<Box<UrlRewrite>>,
    pub(crate) request_mirror: Option<Box<RequestMirror>>,
    pub(crate) cors: Option<Box<Cors>>,
}

/// Header changes.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeaderModifier {
    #[serde(default)]
    pub(crate) set: Vec<Header>,
    #[serde(default)]
    pub(crate) add: Vec<Header>,
    #[serde(default)]
    pub(crate) remove: Vec<String>,
}

/// A header to write.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// A redirect.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestRedirect {
    pub(crate) scheme: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) path: Option<PathModifier>,
    pub(crate) port: Option<i64>,
    pub(crate) status_code: Option<i64>,
}

/// A rewrite.
#[derive(Serialize, Deserialize)]
pub(crate) struct UrlRewrite {
    pub(crate) hostname: Option<String>,
    pub(crate) path: Option<PathModifier>,
}

/// A new path.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathModifier {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) replace_full_path: Option<String>,
    pub(crate) replace_prefix_match: Option<String>,
}

/// A mirror and its share.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestMirror {
    pub(crate) backend_ref: BackendRef,
    pub(crate) percent: Option<i64>,
    pub(crate) fraction: Option<Fraction>,
}

/// `numerator / denominator`, the latter 100 by default.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fraction {
    pub(crate) numerator: i64,
    pub(crate) denominator: Option<i64>,
}

/// Cross-origin resource sharing.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cors {
    #[serde(default)]
    pub(crate) allow_origins: Vec<String>,
    #[serde(default)]
    pub(crate) allow_credentials: bool,
    #[serde(default)]
    pub(crate) allow_methods: Vec<String>,
    #[serde(default)]
    pub(crate) allow_headers: Vec<String>,
    #[serde(default)]
    pub(crate) expose_headers: Vec<String>,
    pub(crate) max_age: Option<i64>,
}

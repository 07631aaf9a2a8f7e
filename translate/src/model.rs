//! Routes of every kind as one model. The API's types are a different Rust type per nesting and kind although their JSON is the same; so a
//! route goes through JSON once, at this edge, and everything behind it is written once.
//!
//! The types here are lenient: an enum is a text and a number is wide, so that what we do not understand arrives as a value that becomes a
//! condition and a refusing rule. Defaults are those of the CRDs, which files lack.

mod filter;

use gateway_api::experimental::grpcroutes::GrpcRoute;
use gateway_api::experimental::httproutes::HttpRoute;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use filter::{Cors, Filter, Header, HeaderModifier, PathModifier, RequestMirror, RequestRedirect, UrlRewrite};

use crate::ObjectKey;
use crate::finding::{About, Finding, Problem};
use crate::grant::GATEWAY_GROUP;

/// Kinds of routes that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RouteKind {
    Http,
    Grpc,
}

impl RouteKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
        }
    }
}

/// A route of any kind.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) kind: RouteKind,
    pub(crate) key: ObjectKey,
    pub(crate) generation: Option<i64>,
    /// Seconds since 1970; 0 in files, which have no creation time.
    pub(crate) created: i64,
    pub(crate) parent_refs: Vec<ParentRef>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) rules: Vec<RouteRule>,
}

/// A rule, as written.
#[derive(Debug, Default)]
pub(crate) struct RouteRule {
    /// Empty: everything.
    pub(crate) matches: Vec<RouteMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) retry: Option<Retry>,
    pub(crate) session_persistence: bool,
}

/// A match, as written.
#[derive(Debug, Default)]
pub(crate) struct RouteMatch {
    pub(crate) path: PathCondition,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<ValueCondition>,
    pub(crate) query: Vec<ValueCondition>,
}

/// What a path must be.
#[derive(Debug, PartialEq)]
pub(crate) struct PathCondition {
    /// `Exact`, `PathPrefix`, `RegularExpression`, or what nobody knows.
    pub(crate) kind: String,
    pub(crate) value: String,
    /// Where it is written: `path`, or `method` of a GRPCRoute.
    pub(crate) field: &'static str,
}

impl Default for PathCondition {
    fn default() -> Self {
        Self { kind: "PathPrefix".to_owned(), value: "/".to_owned(), field: "path" }
    }
}

/// What a header or query parameter must be.
#[derive(Debug, Deserialize)]
pub(crate) struct ValueCondition {
    #[serde(rename = "type", default = "exact")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
}

fn exact() -> String {
    "Exact".to_owned()
}

/// A reference to a parent. Serialized with group and kind, as `status.parents[].parentRef` must have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Kind.
    #[serde(default = "gateway_kind")]
    pub kind: String,
    /// Namespace; the route's, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of a listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

fn gateway_group() -> String {
    GATEWAY_GROUP.to_owned()
}

fn gateway_kind() -> String {
    "Gateway".to_owned()
}

/// A destination, of a rule or of a mirror.
#[derive(Debug, Deserialize)]
pub(crate) struct BackendRef {
    #[serde(default)]
    pub(crate) group: String,
    #[serde(default = "service_kind")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) port: Option<i64>,
    pub(crate) weight: Option<i64>,
    #[serde(default)]
    pub(crate) filters: Vec<Filter>,
}

fn service_kind() -> String {
    "Service".to_owned()
}

/// Durations, as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeouts {
    pub(crate) request: Option<String>,
    pub(crate) backend_request: Option<String>,
}

/// When to try again, as written.
#[derive(Debug, Deserialize)]
pub(crate) struct Retry {
    #[serde(default)]
    pub(crate) codes: Vec<i64>,
    pub(crate) attempts: Option<i64>,
    pub(crate) backoff: Option<String>,
}

/// The spec of a route whose matches are `M`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "M: DeserializeOwned")]
struct Spec<M> {
    #[serde(default)]
    parent_refs: Vec<ParentRef>,
    #[serde(default)]
    hostnames: Vec<String>,
    rules: Option<Vec<Rule<M>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "M: DeserializeOwned")]
struct Rule<M> {
    #[serde(default)]
    matches: Vec<M>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    backend_refs: Vec<BackendRef>,
    timeouts: Option<Timeouts>,
    retry: Option<Retry>,
    session_persistence: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpMatch {
    path: Option<HttpPath>,
    method: Option<String>,
    #[serde(default)]
    headers: Vec<ValueCondition>,
    #[serde(default)]
    query_params: Vec<ValueCondition>,
}

#[derive(Deserialize)]
struct HttpPath {
    #[serde(rename = "type")]
    kind: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct GrpcMatch {
    method: Option<GrpcMethod>,
    #[serde(default)]
    headers: Vec<ValueCondition>,
}

#[derive(Deserialize)]
struct GrpcMethod {
    #[serde(rename = "type", default = "exact")]
    kind: String,
    service: Option<String>,
    method: Option<String>,
}

impl Route {
    /// An HTTPRoute. Without `rules` it has one that matches everything, as the CRD's default says.
    pub(crate) fn from_http(route: &HttpRoute) -> Result<Self, Problem> {
        let spec: Spec<HttpMatch> = read(RouteKind::Http, &route.metadata, &route.spec)?;
        let mut model = Self::new(RouteKind::Http, &route.metadata, spec);
        if route.spec.rules.is_none() {
            model.rules.push(RouteRule::default());
        }
        Ok(model)
    }

    /// A GRPCRoute.
    pub(crate) fn from_grpc(route: &GrpcRoute) -> Result<Self, Problem> {
        let spec: Spec<GrpcMatch> = read(RouteKind::Grpc, &route.metadata, &route.spec)?;
        Ok(Self::new(RouteKind::Grpc, &route.metadata, spec))
    }

    fn new<M: Into<RouteMatch>>(kind: RouteKind, metadata: &ObjectMeta, spec: Spec<M>) -> Self {
        Self {
            kind,
            key: ObjectKey::of(metadata),
            generation: metadata.generation,
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default(),
            parent_refs: spec.parent_refs,
            hostnames: spec.hostnames,
            rules: spec.rules.into_iter().flatten().map(RouteRule::from).collect(),
        }
    }

    pub(crate) fn about(&self) -> About<'_> {
        About { kind: self.kind.as_str(), namespace: &self.key.namespace, name: &self.key.name }
    }
}

/// Cannot fail on what the API's types can hold, since ours are wider; should it, the route is not served and says so.
fn read<T: DeserializeOwned>(kind: RouteKind, metadata: &ObjectMeta, spec: &impl Serialize) -> Result<T, Problem> {
    serde_json::to_value(spec).and_then(serde_json::from_value).map_err(|error| {
        let key = ObjectKey::of(metadata);
        let about = About { kind: kind.as_str(), namespace: &key.namespace, name: &key.name };
        // A type error may repeat the value it met, which may be a credential; its category is enough.
        let message = format!("the spec cannot be read ({:?} error): compare it with the reference of {}", error.classify(), kind.as_str());
        Finding::accepted("spec", "UnsupportedValue", message).problem(about, "Accepted")
    })
}

impl<M: Into<RouteMatch>> From<Rule<M>> for RouteRule {
    fn from(rule: Rule<M>) -> Self {
        Self {
            matches: rule.matches.into_iter().map(Into::into).collect(),
            filters: rule.filters,
            backend_refs: rule.backend_refs,
            timeouts: rule.timeouts,
            retry: rule.retry,
            session_persistence: rule.session_persistence.is_some(),
        }
    }
}

impl From<HttpMatch> for RouteMatch {
    fn from(given: HttpMatch) -> Self {
        let default = PathCondition::default();
        let path = given.path.map_or_else(PathCondition::default, |path| PathCondition {
            kind: path.kind.unwrap_or(default.kind),
            value: path.value.unwrap_or(default.value),
            field: "path",
        });
        Self { path, method: given.method, headers: given.headers, query: given.query_params }
    }
}

/// gRPC calls are `POST /package.Service/Method` (gRPC over HTTP/2, "Path"), so a method match is a path match. That the request is a POST
/// is the backend's to check.
impl From<GrpcMatch> for RouteMatch {
    fn from(given: GrpcMatch) -> Self {
        let path = given.method.map_or_else(PathCondition::default, GrpcMethod::path);
        Self { path, method: None, headers: given.headers, query: Vec::new() }
    }
}

impl GrpcMethod {
    fn path(self) -> PathCondition {
        let service = self.service.filter(|service| !service.is_empty());
        let method = self.method.filter(|method| !method.is_empty());
        let (kind, value) = match (self.kind.as_str(), service, method) {
            ("Exact" | "RegularExpression", None, None) => return PathCondition::default(),
            ("Exact", Some(service), Some(method)) => ("Exact", format!("/{service}/{method}")),
            ("Exact", Some(service), None) => ("PathPrefix", format!("/{service}")),
            ("Exact", None, Some(method)) => ("RegularExpression", format!("/[^/]+/{}", regex::escape(&method))),
            ("RegularExpression", service, method) => {
                let any = || "[^/]+".to_owned();
                ("RegularExpression", format!("/(?:{})/(?:{})", service.unwrap_or_else(any), method.unwrap_or_else(any)))
            }
            (unknown, service, _) => (unknown, format!("/{}", service.unwrap_or_default())),
        };
        PathCondition { kind: kind.to_owned(), value, field: "method" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(kind: &str, service: Option<&str>, method: Option<&str>) -> (String, String) {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let path = GrpcMethod { kind: kind.to_owned(), service: own(service), method: own(method) }.path();
        (path.kind, path.value)
    }

    #[test]
    fn makes_paths_of_grpc_methods() {
        for (given, kind, value) in [
            (("Exact", Some("a.B"), Some("C")), "Exact", "/a.B/C"),
            (("Exact", Some("a.B"), None), "PathPrefix", "/a.B"),
            (("Exact", None, Some("C.D")), "RegularExpression", "/[^/]+/C\\.D"),
            (("RegularExpression", Some("a|b"), None), "RegularExpression", "/(?:a|b)/(?:[^/]+)"),
            (("Exact", None, None), "PathPrefix", "/"),
            (("Fuzzy", Some("a.B"), None), "Fuzzy", "/a.B"),
        ] {
            assert_eq!(path(given.0, given.1, given.2), (kind.to_owned(), value.to_owned()), "{given:?}");
        }
    }

    #[test]
    fn reads_filters_of_a_type_nobody_knows() {
        let spec = serde_json::json!({ "rules": [{ "filters": [{ "type": "Teleport", "teleport": { "to": 1 } }] }] });
        let spec: Spec<HttpMatch> = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.rules.unwrap()[0].filters[0].kind, "Teleport");
    }
}

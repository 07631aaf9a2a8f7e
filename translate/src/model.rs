//! Routes of every kind as one model, read once when an object arrives: the API's JSON is nearly the same for all kinds, so everything
//! behind this edge is written once. A rule of a TLSRoute, TCPRoute or UDPRoute is one that matches everything and has backends only.
//!
//! The types here are lenient: an enum is a text and a number is wide, so that what we do not understand, such as a filter of a newer
//! version of the API, arrives as a value that becomes a condition and a refusing rule. Defaults are those of the CRDs, which files
//! lack. What holds a value of a manifest is not printable: it may be a credential.

mod filter;
mod kind;
mod listener_set;
mod rules;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use filter::{Cors, Filter, Header, HeaderModifier, PathModifier, RequestMirror, RequestRedirect, UrlRewrite};
pub use kind::RouteKind;
pub use listener_set::ListenerSet;
pub(crate) use rules::Rules;

use crate::finding::About;
use crate::grant::GATEWAY_GROUP;
use crate::{Kind, ObjectKey};

/// A route's identity among all routes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteId {
    pub(crate) kind: RouteKind,
    pub(crate) key: ObjectKey,
}

impl RouteId {
    pub(crate) fn new(kind: RouteKind, key: &ObjectKey) -> Self {
        Self { kind, key: key.clone() }
    }

    pub(crate) fn kind(&self) -> Kind {
        Kind::Route(self.kind)
    }
}

/// A route of any kind, as written.
pub struct Route {
    pub(crate) kind: RouteKind,
    pub(crate) key: ObjectKey,
    pub(crate) generation: Option<i64>,
    /// Seconds since 1970; 0 in files, which have no creation time.
    pub(crate) created: i64,
    pub(crate) parent_refs: Vec<ParentRef>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) rules: Rules,
}

/// Prints as its identity.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("kind", &self.kind).field("key", &self.key).finish_non_exhaustive()
    }
}

/// A rule, as written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RouteRule {
    /// Empty: everything.
    pub(crate) matches: Vec<RouteMatch>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) backend_refs: Vec<BackendRef>,
    pub(crate) timeouts: Option<Box<Timeouts>>,
    pub(crate) retry: Option<Box<Retry>>,
    pub(crate) session_persistence: bool,
}

/// A match, as written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RouteMatch {
    pub(crate) path: PathCondition,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<ValueCondition>,
    pub(crate) query: Vec<ValueCondition>,
}

/// What a path must be.
#[derive(Default, Serialize, Deserialize)]
pub(crate) enum PathCondition {
    /// Nothing is said of it.
    #[default]
    Any,
    /// `path` of an HTTPRoute.
    Path(HttpPath),
    /// `method` of a GRPCRoute.
    Method(GrpcMethod),
}

/// `matches[].path` of an HTTPRoute.
#[derive(Serialize, Deserialize)]
pub(crate) struct HttpPath {
    #[serde(rename = "type", default = "path_prefix")]
    pub(crate) kind: String,
    #[serde(default = "root")]
    pub(crate) value: String,
}

/// `matches[].method` of a GRPCRoute.
#[derive(Serialize, Deserialize)]
pub(crate) struct GrpcMethod {
    #[serde(rename = "type", default = "exact")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) method: String,
}

/// What a header or query parameter must be.
#[derive(Serialize, Deserialize)]
pub(crate) struct ValueCondition {
    #[serde(rename = "type", default = "exact")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
}

fn path_prefix() -> String {
    "PathPrefix".to_owned()
}

fn root() -> String {
    "/".to_owned()
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
#[derive(Serialize, Deserialize)]
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
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeouts {
    pub(crate) request: Option<String>,
    pub(crate) backend_request: Option<String>,
}

/// When to try again, as written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Retry {
    #[serde(default)]
    pub(crate) codes: Vec<i64>,
    pub(crate) attempts: Option<i64>,
    pub(crate) backoff: Option<String>,
}

/// A route whose rules are `R`, as its JSON has it.
#[derive(Deserialize)]
#[serde(bound = "R: DeserializeOwned")]
struct Object<R> {
    metadata: ObjectMeta,
    spec: Spec<R>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "R: DeserializeOwned")]
struct Spec<R> {
    #[serde(default)]
    parent_refs: Vec<ParentRef>,
    #[serde(default)]
    hostnames: Vec<String>,
    rules: Option<Vec<R>>,
}

/// A rule whose matches are `M`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "M: DeserializeOwned")]
struct Rule<M> {
    #[serde(default)]
    matches: Vec<M>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    backend_refs: Vec<BackendRef>,
    timeouts: Option<Box<Timeouts>>,
    retry: Option<Box<Retry>>,
    session_persistence: Option<IgnoredAny>,
}

/// A rule of a route that knows no requests. What else a file says here, the API server would have dropped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Passing {
    #[serde(default)]
    backend_refs: Vec<BackendRef>,
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
struct GrpcMatch {
    method: Option<GrpcMethod>,
    #[serde(default)]
    headers: Vec<ValueCondition>,
}

impl Route {
    /// Reads a route of a kind, such as a `serde_json::Value`. An HTTPRoute without `rules` has one that matches everything, as the CRD's
    /// default says.
    ///
    /// Fails on what no version of the API allows, such as a text in place of a list. The error may repeat the value it met, which may
    /// be a credential: it is not for logs.
    pub fn read<'de, D: Deserializer<'de>>(kind: RouteKind, json: D) -> Result<Self, D::Error> {
        match kind {
            RouteKind::Http => Self::http(json),
            RouteKind::Grpc => Self::grpc(json),
            RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => Self::passing(kind, json),
        }
    }

    fn http<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let Object { metadata, spec } = Object::<Rule<HttpMatch>>::deserialize(json)?;
        let without = spec.rules.is_none().then(RouteRule::default);
        Self::new(RouteKind::Http, &metadata, spec, without)
    }

    fn grpc<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let Object { metadata, spec } = Object::<Rule<GrpcMatch>>::deserialize(json)?;
        Self::new(RouteKind::Grpc, &metadata, spec, None)
    }

    fn passing<'de, D: Deserializer<'de>>(kind: RouteKind, json: D) -> Result<Self, D::Error> {
        let Object { metadata, spec } = Object::<Passing>::deserialize(json)?;
        let hostnames = if kind.has_hostnames() { spec.hostnames } else { Vec::new() };
        Self::new(kind, &metadata, Spec { hostnames, ..spec }, None)
    }

    fn new<R: Into<RouteRule>, E: Error>(
        kind: RouteKind,
        metadata: &ObjectMeta,
        spec: Spec<R>,
        default: Option<RouteRule>,
    ) -> Result<Self, E> {
        let rules: Vec<RouteRule> = spec.rules.into_iter().flatten().map(Into::into).chain(default).collect();
        Ok(Self {
            kind,
            key: ObjectKey::of(metadata),
            generation: metadata.generation,
            created: metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default(),
            parent_refs: spec.parent_refs,
            hostnames: spec.hostnames,
            rules: Rules::write(&rules).map_err(E::custom)?,
        })
    }

    pub(crate) fn id(&self) -> RouteId {
        RouteId { kind: self.kind, key: self.key.clone() }
    }

    pub(crate) fn about(&self) -> About<'_> {
        About { kind: self.kind.as_str(), namespace: &self.key.namespace, name: &self.key.name }
    }
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

impl From<Passing> for RouteRule {
    fn from(rule: Passing) -> Self {
        let bare = rule.backend_refs.into_iter().map(|one| BackendRef { filters: Vec::new(), ..one });
        Self { backend_refs: bare.collect(), ..Self::default() }
    }
}

impl From<HttpMatch> for RouteMatch {
    fn from(given: HttpMatch) -> Self {
        let path = given.path.map_or(PathCondition::Any, PathCondition::Path);
        Self { path, method: given.method, headers: given.headers, query: given.query_params }
    }
}

impl From<GrpcMatch> for RouteMatch {
    fn from(given: GrpcMatch) -> Self {
        let path = given.method.map_or(PathCondition::Any, PathCondition::Method);
        Self { path, method: None, headers: given.headers, query: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(kind: RouteKind, spec: Value) -> Route {
        Route::read(kind, json!({ "metadata": { "name": "r" }, "spec": spec })).unwrap()
    }

    #[test]
    fn reads_what_nobody_knows_as_values() {
        let spec = json!({ "rules": [{
            "matches": [{ "path": { "type": "Glob", "value": "/*" }, "headers": [{ "type": "Fuzzy", "name": "a" }] }],
            "filters": [{ "type": "Teleport", "teleport": { "to": 1 } }],
            "backendRefs": [{ "name": "a", "weight": -1, "filters": [{ "type": "Teleport" }] }]
        }] });
        let route = read(RouteKind::Http, spec);
        let [rule] = &route.rules.read()[..] else { panic!("{route:?}") };
        assert!(matches!(&rule.matches[0].path, PathCondition::Path(path) if path.kind == "Glob"));
        assert_eq!((rule.filters[0].kind.as_str(), rule.backend_refs[0].weight), ("Teleport", Some(-1)));
    }

    #[test]
    fn matches_everything_without_rules_and_nothing_with_none() {
        let rules = |spec| read(RouteKind::Http, spec).rules.read().len();
        assert_eq!((rules(json!({})), rules(json!({ "rules": [] }))), (1, 0));
    }

    #[test]
    fn a_route_that_knows_no_requests_has_hostnames_only_with_tls_and_never_a_filter() {
        let spec = json!({ "hostnames": ["a.example.com"], "rules": [{
            "matches": [{ "path": { "value": "/x" } }],
            "filters": [{ "type": "RequestRedirect" }],
            "backendRefs": [{ "name": "a", "port": 1, "weight": 2, "filters": [{ "type": "RequestRedirect" }] }]
        }] });
        for (kind, hostnames) in [(RouteKind::Tls, 1), (RouteKind::Tcp, 0), (RouteKind::Udp, 0)] {
            let route = read(kind, spec.clone());
            let [rule] = &route.rules.read()[..] else { panic!("{route:?}") };
            assert_eq!((route.hostnames.len(), rule.matches.len(), rule.filters.len()), (hostnames, 0, 0));
            assert_eq!((rule.backend_refs[0].weight, rule.backend_refs[0].filters.len()), (Some(2), 0));
        }
    }

    #[test]
    fn prints_no_value_of_a_manifest() {
        let matched = json!({ "headers": [{ "name": "authorization", "value": "sk-canary" }] });
        let route = read(RouteKind::Grpc, json!({ "rules": [{ "matches": [matched] }] }));
        assert!(!format!("{route:?}").contains("canary"));
    }
}

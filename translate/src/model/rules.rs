//! A route's rules as text. They are read when the route is compiled and not needed until it is compiled anew, which is seldom: as text
//! they take a third of the room. Not printable: a value may be a credential.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::{BackendRef, Filter, GrpcMethod, HttpPath, PathCondition, Retry, RouteKind, RouteMatch, RouteRule, Timeouts, ValueCondition};

/// JSON that is known to be rules of its route's kind.
pub(crate) struct Rules(Box<str>);

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

impl Rules {
    /// Without `rules`, an HTTPRoute has one that matches everything, as the CRD's default says.
    pub(super) fn write(kind: RouteKind, rules: Option<Value>) -> serde_json::Result<Self> {
        let rules = rules.filter(|rules| !rules.is_null());
        let text = match (rules, kind) {
            (Some(rules), _) => rules.to_string(),
            (None, RouteKind::Http) => "[{}]".to_owned(),
            (None, _) => "[]".to_owned(),
        };
        read(kind, &text).map(|_| Self(text.into_boxed_str()))
    }

    /// The rules of a route of this kind, the one that they were written for.
    #[expect(clippy::expect_used, reason = "it was read before")]
    pub(crate) fn read(&self, kind: RouteKind) -> Vec<RouteRule> {
        read(kind, &self.0).expect("rules that were read before")
    }
}

fn read(kind: RouteKind, text: &str) -> serde_json::Result<Vec<RouteRule>> {
    match kind {
        RouteKind::Http => rules::<Rule<HttpMatch>>(text),
        RouteKind::Grpc => rules::<Rule<GrpcMatch>>(text),
        RouteKind::Tls | RouteKind::Tcp | RouteKind::Udp => rules::<Passing>(text),
    }
}

fn rules<R: DeserializeOwned + Into<RouteRule>>(text: &str) -> serde_json::Result<Vec<RouteRule>> {
    let rules: Vec<R> = serde_json::from_str(text)?;
    Ok(rules.into_iter().map(Into::into).collect())
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

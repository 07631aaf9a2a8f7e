//! The compiled resources as they travel from the control plane to a proxy. Names are unique per kind; a route rule is one resource,
//! so that what changed is what travels. Unknown fields are ignored, so that versions may differ by one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use crate::protocol::Protocol;
use crate::{Hostname, ProviderKind, Reason, Token};

/// Everything one Gateway's proxies need. Serialized as it stands, tokens show as fingerprints: this is what a dump prints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// By listener name.
    pub listeners: BTreeMap<String, Arc<Listener>>,
    /// By `kind/namespace/route/rule index`.
    pub rules: BTreeMap<String, Arc<Rule>>,
    /// By name as [`BackendRef::backend`] says it.
    pub backends: BTreeMap<String, Arc<Backend>>,
    /// By name as [`Backend::Service`] says it.
    pub endpoints: BTreeMap<String, Arc<Endpoints>>,
    /// By name as [`Credential::Secret`] and [`Listener::certificates`] say it.
    pub secrets: BTreeMap<String, Arc<Secret>>,
}

/// One listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Port to accept on.
    pub port: u16,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Hosts it serves, of requests or by SNI; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Hostname>,
    /// Names of the certificate secrets, where TLS ends here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Whether and how clients prove who they are, for [`Protocol::Https`]; `None`: they are not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<Arc<ClientAuth>>,
}

/// What clients' certificates are measured by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientAuth {
    /// Who gets in.
    pub mode: ClientAuthMode,
    /// PEM of the authorities that sign clients' certificates.
    pub roots: String,
}

/// Which clients a listener lets in (`FrontendValidationModeType` of Gateway API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuthMode {
    /// Those with a valid certificate.
    AllowValidOnly,
    /// All: a certificate is asked for, and none or an invalid one will do.
    AllowInsecureFallback,
}

/// One rule of one route. One of a TLSRoute, TCPRoute or UDPRoute has one match, for everything, and neither filters nor timeouts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// Where it came from, for precedence, logs and dumps.
    pub route: RouteKey,
    /// Position in the route: earlier rules win ties.
    pub index: u32,
    /// The route's creation time, seconds since 1970: older routes win ties.
    pub created: i64,
    /// The listeners that serve it.
    pub attachments: Vec<Attachment>,
    /// Any of them selects this rule.
    pub matches: Vec<Match>,
    /// Applied to every request of the rule.
    pub filters: Filters,
    /// Where requests, connections or flows go; none: they are refused, requests with 500.
    pub backends: Vec<BackendRef>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Whether and when to try again.
    pub retry: Option<Retry>,
    /// Set when the rule cannot be served as written: every request is refused with this.
    pub refuse: Option<Reason>,
}

impl Rule {
    /// The rule's own filters, then those of its backends.
    pub fn all_filters(&self) -> impl Iterator<Item = &Filters> {
        std::iter::once(&self.filters).chain(self.backends.iter().filter_map(|backend| backend.filters.as_deref()))
    }
}

/// Identity of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteKey {
    /// As the API spells it, such as `HTTPRoute`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A listener and the hosts under which it serves a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// Name of the listener.
    pub listener: String,
    /// Intersections of listener and route hostnames; one entry with no host when neither restricts it.
    pub hosts: Vec<HostPair>,
}

/// A served host and the route hostname it came from, whose specificity orders routes that meet on one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostPair {
    /// Listener hostname ∩ route hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Hostname>,
    /// The route's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Hostname>,
}

/// All of its conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    /// On the path, without query.
    pub path: PathMatch,
    /// Exact method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// On headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<ValueMatch>,
    /// On query parameters: the first value of each name counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<ValueMatch>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// By path elements: `/v2` matches `/v2/x`, not `/v2x`.
    Prefix(String),
    /// The whole path, as a regular expression.
    Regex(String),
    /// A gRPC method of any service: `/ANY/METHOD`.
    GrpcMethod(String),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

/// A condition on a named value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueMatch {
    /// Header (any case) or query parameter (exact case).
    pub name: String,
    /// What its value must be.
    pub value: StringMatch,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StringMatch {
    /// Equal.
    Exact(String),
    /// Equal to what may be a credential, so that no dump shows it.
    Sensitive(Token),
    /// The whole value, as a regular expression.
    Regex(String),
}

/// What to change on the way, or instead of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filters {
    /// Request header changes.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub request: HeaderChanges,
    /// Response header changes.
    #[serde(skip_serializing_if = "HeaderChanges::is_empty")]
    pub response: HeaderChanges,
    /// Answer with a redirect instead of forwarding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Box<Redirect>>,
    /// Change host or path on the way.
    #[serde(skip_serializing_if = "Rewrite::is_empty")]
    pub rewrite: Rewrite,
    /// Send copies elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// Answer browsers' cross-origin questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Box<Cors>>,
}

/// Header changes, in the order set, add, remove.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeaderChanges {
    /// Overwrites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HeaderLiteral>,
    /// Appends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HeaderLiteral>,
    /// Removes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl HeaderChanges {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A header as a manifest spells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeaderLiteral {
    /// Name, any case.
    pub name: String,
    /// Value.
    pub value: HeaderText,
}

/// A header value; one that may be a credential is a token, so that no dump shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HeaderText {
    /// Harmless.
    Plain(String),
    /// Must not be seen.
    Sensitive(Token),
}

/// A redirect answer; what is not set is taken from the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redirect {
    /// `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathChange>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PathChange {
    /// Replaces all of it; the query stays.
    Full(String),
    /// Replaces the matched prefix.
    Prefix(String),
}

/// Changes to the request's target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// Host sent upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path sent upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathChange>,
}

impl Rewrite {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A share of requests is copied to a backend; its answer is thrown away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mirror {
    /// Name of the backend.
    pub backend: String,
    /// Share = numerator / denominator.
    pub numerator: u32,
    /// Never zero.
    pub denominator: u32,
}

/// Cross-origin resource sharing, as Gateway API's CORS filter says it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// `*`, `scheme://host[:port]`, or with a leading wildcard label.
    pub allow_origins: Vec<String>,
    /// Whether cookies and authorization may come along.
    pub allow_credentials: bool,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Request headers, or `*`.
    pub allow_headers: Vec<String>,
    /// Response headers scripts may read, or `*`.
    pub expose_headers: Vec<String>,
    /// Seconds a preflight answer may be kept.
    pub max_age: u32,
}

/// A weighted destination of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendRef {
    /// Share of requests.
    pub weight: u32,
    /// Name of the backend, or why there is none: its share is refused with that.
    pub backend: Result<String, Reason>,
    /// Applied when this destination was chosen, after the rule's. `None`, as most have: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Box<Filters>>,
}

/// How long to wait, in milliseconds; `None`: as long as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// From the whole request to the whole response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_ms: Option<u64>,
    /// Each try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request_ms: Option<u64>,
}

/// When to try again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Statuses of the backend that are tried again.
    pub codes: Vec<u16>,
    /// Tries after the first.
    pub attempts: u32,
    /// Pause before each, in milliseconds.
    pub backoff_ms: u64,
}

/// Where requests can be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a configuration holds each behind an Arc")]
pub enum Backend {
    /// A Kubernetes Service port.
    Service {
        /// Name of the endpoints resource.
        endpoints: String,
        /// What the pods speak, where requests are sent to them.
        protocol: AppProtocol,
        /// `None`: in clear. Verified TLS; or the reason to refuse, since what should be verified and cannot be is never sent in clear.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<Result<Arc<BackendTls>, Reason>>,
    },
    /// A model provider, with its credential.
    Provider(Provider),
}

/// TLS towards the pods of a Service, as its BackendTLSPolicy wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendTls {
    /// Sent as SNI; without `names` also what the pod's certificate must be for.
    pub sni: String,
    /// Any of these the certificate must be for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<SubjectAltName>,
    /// Who may have signed it.
    pub roots: TrustedRoots,
    /// Name of the secret with the certificate to show when the pod asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SubjectAltName {
    /// A DNS name.
    Hostname(Hostname),
    /// A URI, such as a SPIFFE ID, to the letter.
    Uri(String),
}

/// Authorities that are trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrustedRoots {
    /// Those that the proxy trusts anyway.
    System,
    /// Those of this PEM, and no others.
    Pem(String),
}

/// What a Service port speaks (`appProtocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge (`kubernetes.io/h2c`).
    H2c,
}

/// A model provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// Which one.
    pub kind: ProviderKind,
    /// Host to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Name for the `Host` header, SNI and certificate verification.
    pub hostname: String,
    /// False only when the Upstream opted out by name.
    pub tls: bool,
    /// The one credential that leaves.
    pub credential: Credential,
    /// Which path is asked for.
    pub paths: ProviderPaths,
    /// Replaces the body's `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Value of `anthropic-version` where the client sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Where the credential comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Credential {
    /// A secret resource's token.
    Secret(String),
    /// The client's own.
    Passthrough,
    /// There is none that may be used: refuse with this.
    Unavailable(Reason),
}

/// How a provider's path is found from the request's (after the route's filters).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderPaths {
    /// A path that starts with one of these is the client's choice and stays.
    pub keep: Vec<String>,
    /// Any other path becomes this one (path and query).
    pub chat: String,
    /// Goes before the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Replaces a chat request's path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full: Option<String>,
    /// Query parameter added where missing (`api-version`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<(String, String)>,
}

/// Addresses behind a Service port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Ready ones.
    pub addresses: Vec<SocketAddr>,
}

/// Secret material, by what it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Secret {
    /// A provider credential, without `Bearer `.
    Token(Token),
    /// A certificate of a listener, or one to show to backends.
    Certificate {
        /// PEM, leaf first.
        chain: String,
        /// PEM.
        key: Token,
    },
}

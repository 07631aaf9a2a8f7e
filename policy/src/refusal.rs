//! Why a request is not forwarded: a reason per cause, its status, and words for the client that help and give nothing away.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::ErrorShape;

/// The cause of a refusal. Its label is what metrics and logs say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// No listener or rule matches.
    NoRoute,
    /// The rule names no backend.
    NoBackends,
    /// A backend reference does not resolve.
    InvalidBackendRef,
    /// A filter or match of the rule cannot be served as written.
    InvalidRule,
    /// The backend is to be verified, and it cannot be said how: its BackendTLSPolicy is not valid.
    InvalidBackendTls,
    /// The Service has no ready endpoint.
    NoEndpoints,
    /// The provider's kind is understood but not served yet.
    NotServedYet,
    /// The Upstream's settings contradict each other or are incomplete.
    InvalidUpstream,
    /// The referenced Secret does not exist.
    SecretMissing,
    /// The Secret exists, but not with a usable value.
    SecretMalformed,
    /// No ReferenceGrant, or the Secret is bound to other hosts.
    SecretNotPermitted,
    /// The inline token is empty or an unexpanded `$VARIABLE`.
    InlineMalformed,
    /// Passthrough, and the client sent no usable token.
    ClientTokenMissing,
    /// Passthrough, and the client sent several.
    ClientTokenAmbiguous,
    /// The request's target or host is malformed.
    BadRequest,
    /// The request's framing is ambiguous.
    AmbiguousLength,
    /// TRACE would echo the credential to the client; CONNECT is not a gateway's business.
    MethodNotAllowed,
    /// The connection was made for a host of another listener.
    Misdirected,
}

impl Reason {
    /// All of them, for metrics that start at zero.
    pub const ALL: [Self; 18] = [
        Self::NoRoute,
        Self::NoBackends,
        Self::InvalidBackendRef,
        Self::InvalidRule,
        Self::InvalidBackendTls,
        Self::NoEndpoints,
        Self::NotServedYet,
        Self::InvalidUpstream,
        Self::SecretMissing,
        Self::SecretMalformed,
        Self::SecretNotPermitted,
        Self::InlineMalformed,
        Self::ClientTokenMissing,
        Self::ClientTokenAmbiguous,
        Self::BadRequest,
        Self::AmbiguousLength,
        Self::MethodNotAllowed,
        Self::Misdirected,
    ];

    /// `snake_case` name for metrics, logs and error codes.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoBackends => "no_backends",
            Self::InvalidBackendRef => "invalid_backend_ref",
            Self::InvalidRule => "invalid_rule",
            Self::InvalidBackendTls => "invalid_backend_tls",
            Self::NoEndpoints => "no_endpoints",
            Self::NotServedYet => "not_served_yet",
            Self::InvalidUpstream => "invalid_upstream",
            Self::SecretMissing => "secret_missing",
            Self::SecretMalformed => "secret_malformed",
            Self::SecretNotPermitted => "secret_not_permitted",
            Self::InlineMalformed => "inline_malformed",
            Self::ClientTokenMissing => "client_token_missing",
            Self::ClientTokenAmbiguous => "client_token_ambiguous",
            Self::BadRequest => "bad_request",
            Self::AmbiguousLength => "ambiguous_length",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Misdirected => "misdirected",
        }
    }

    /// Status of the answer (Gateway API: no rule 404, invalid backend 500, no endpoints 503).
    pub fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoBackends
            | Self::InvalidBackendRef
            | Self::InvalidRule
            | Self::InvalidBackendTls
            | Self::NotServedYet
            | Self::InvalidUpstream => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoEndpoints | Self::SecretMissing | Self::SecretMalformed | Self::SecretNotPermitted | Self::InlineMalformed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ClientTokenMissing => StatusCode::UNAUTHORIZED,
            Self::ClientTokenAmbiguous | Self::BadRequest | Self::AmbiguousLength => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// For the client. Names no object of the cluster; the status of the route and the Upstream say more to their owner.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoRoute => "no route matches this host and path",
            Self::NoBackends => "the matching route has no backend",
            Self::InvalidBackendRef => "the matching route refers to a backend that cannot be used; see the route's ResolvedRefs condition",
            Self::InvalidRule => "the matching route rule cannot be served as written; see the route's conditions",
            Self::InvalidBackendTls => {
                "the backend cannot be verified, and nothing was sent to it; see the conditions of its BackendTLSPolicy and of the Gateway"
            }
            Self::NoEndpoints => "the backend has no ready endpoint",
            Self::NotServedYet => "this provider is not served yet; see the Upstream's conditions",
            Self::InvalidUpstream => "the Upstream behind this route is not valid; see its conditions",
            Self::SecretMissing => "the provider credential is not available: its Secret does not exist; nothing was sent to the provider",
            Self::SecretMalformed => {
                "the provider credential is not usable: its Secret holds no valid token; nothing was sent to the provider"
            }
            Self::SecretNotPermitted => "the provider credential may not be used here; nothing was sent to the provider",
            Self::InlineMalformed => {
                "the provider credential is not usable: the inline token is empty or an unexpanded variable; nothing was sent to the provider"
            }
            Self::ClientTokenMissing => "this route passes your own token on to the provider: send it as 'Authorization: Bearer TOKEN'",
            Self::ClientTokenAmbiguous => "more than one token was sent: send exactly one 'Authorization: Bearer TOKEN'",
            Self::BadRequest => "the request's target or Host header is not valid",
            Self::AmbiguousLength => "the request has both Content-Length and Transfer-Encoding",
            Self::MethodNotAllowed => "TRACE and CONNECT are not allowed here",
            Self::Misdirected => "this connection was made for another host: open one for this host",
        }
    }
}

/// A refusal, with the shape in which the client's library expects errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cause.
    pub reason: Reason,
    /// `None`: not an AI route; plain text.
    pub shape: Option<ErrorShape>,
}

impl From<Reason> for Refusal {
    /// Where no provider is known, a reason that only AI routes have is told in the shape that most of their clients read.
    fn from(reason: Reason) -> Self {
        let shape = match reason {
            Reason::NotServedYet
            | Reason::InvalidUpstream
            | Reason::SecretMissing
            | Reason::SecretMalformed
            | Reason::SecretNotPermitted
            | Reason::InlineMalformed
            | Reason::ClientTokenMissing
            | Reason::ClientTokenAmbiguous => Some(ErrorShape::OpenAi),
            Reason::NoRoute
            | Reason::NoBackends
            | Reason::InvalidBackendRef
            | Reason::InvalidRule
            | Reason::InvalidBackendTls
            | Reason::NoEndpoints
            | Reason::BadRequest
            | Reason::AmbiguousLength
            | Reason::MethodNotAllowed
            | Reason::Misdirected => None,
        };
        Self { reason, shape }
    }
}

//! Answers that are not a backend's: refusals and upstream failures, in words and in the shape the client's library prints.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use policy::{ErrorShape, Refusal};
use serde_json::json;

use crate::body::ResponseBody;

const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why a permitted request has no answer of its backend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("the backend's name could not be resolved: {0}")]
    Dns(String),
    #[error("the backend refused the connection or did not accept it in time: {0}")]
    Connect(String),
    #[error("the backend's TLS certificate could not be verified, or TLS failed: {0}")]
    Tls(String),
    #[error("the backend closed the connection or did not speak HTTP: {0}")]
    Protocol(String),
    #[error("the backend did not answer in time")]
    Timeout,
    #[error("the request body could not be read")]
    RequestBody,
}

impl UpstreamError {
    /// Values of the label `error`, in the order of [`Self::index`].
    pub(crate) const LABELS: [&'static str; 6] = ["dns", "connect", "tls", "protocol", "timeout", "request_body"];

    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Dns(_) => 0,
            Self::Connect(_) => 1,
            Self::Tls(_) => 2,
            Self::Protocol(_) => 3,
            Self::Timeout => 4,
            Self::RequestBody => 5,
        }
    }

    pub(crate) fn label(&self) -> &'static str {
        Self::LABELS[self.index()]
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestBody => StatusCode::BAD_REQUEST,
            Self::Dns(_) | Self::Connect(_) | Self::Tls(_) | Self::Protocol(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// For the client: names no host and no address.
    fn message(&self) -> &'static str {
        match self {
            Self::Dns(_) => "the backend's name could not be resolved",
            Self::Connect(_) => "the backend could not be reached",
            Self::Tls(_) => "the backend's certificate could not be verified",
            Self::Protocol(_) => "the backend closed the connection or did not answer in HTTP",
            Self::Timeout => "the backend did not answer in time",
            Self::RequestBody => "the request body ended early or is malformed",
        }
    }
}

pub(crate) fn refusal(refusal: Refusal) -> Response<ResponseBody> {
    let reason = refusal.reason;
    answer(reason.status(), reason.label(), reason.message(), refusal.shape)
}

pub(crate) fn upstream(error: &UpstreamError, shape: Option<ErrorShape>) -> Response<ResponseBody> {
    answer(error.status(), &format!("upstream_{}", error.label()), error.message(), shape)
}

/// In place of a provider's 401 about the gateway's own credential: providers quote parts of the key they refuse.
pub(crate) fn credential_refused(shape: ErrorShape) -> Response<ResponseBody> {
    let message = "the provider refused the gateway's credential; whoever runs the gateway must renew it";
    answer(StatusCode::UNAUTHORIZED, "invalid_api_key", message, Some(shape))
}

fn answer(status: StatusCode, code: &str, message: &str, shape: Option<ErrorShape>) -> Response<ResponseBody> {
    let (kind, body) = match shape {
        None => ("text/plain; charset=utf-8", format!("{message}\n")),
        Some(shape) => ("application/json", shaped(shape, status, code, message).to_string()),
    };
    let mut response = Response::new(ResponseBody::full(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    match status {
        // RFC 9110 section 11.6.1: a 401 names the scheme that would be accepted; section 15.5.6: a 405 names the methods.
        StatusCode::UNAUTHORIZED => drop(response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::METHOD_NOT_ALLOWED => drop(response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED))),
        _ => {}
    }
    response
}

fn shaped(shape: ErrorShape, status: StatusCode, code: &str, message: &str) -> serde_json::Value {
    match shape {
        ErrorShape::OpenAi => {
            let kind = if status.is_client_error() { "invalid_request_error" } else { "api_error" };
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
        ErrorShape::Anthropic => {
            let kind = match status {
                StatusCode::UNAUTHORIZED => "authentication_error",
                status if status.is_client_error() => "invalid_request_error",
                _ => "api_error",
            };
            json!({"type": "error", "error": {"type": kind, "message": message}})
        }
        ErrorShape::Google => {
            let name = match status {
                StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => "UNAVAILABLE",
                StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
                status if status.is_client_error() => "INVALID_ARGUMENT",
                _ => "INTERNAL",
            };
            json!({"error": {"code": status.as_u16(), "message": message, "status": name}})
        }
    }
}

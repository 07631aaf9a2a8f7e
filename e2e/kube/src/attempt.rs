//! Writes that are only tried: the API server does everything but keep the object (`dryRun=All`), admission included.

use anyhow::{Context, Result};
use http::Request;
use http::header::{CONTENT_TYPE, HeaderValue, WARNING};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use crate::Kind;

/// A field that the schema does not know is an error, as `kubectl` has it.
const QUERY: &str = "?dryRun=All&fieldValidation=Strict";

/// A write that is tried.
#[derive(Clone)]
pub struct Attempt {
    method: &'static str,
    path: String,
    body: Vec<u8>,
}

/// What the API server says to it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As HTTP has it.
    pub status: u16,
    /// Why not; empty for what was let in.
    pub message: String,
    /// What `kubectl` would print as warnings.
    pub warnings: Vec<String>,
}

impl Answer {
    /// Whether the object would have been kept.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.status, 200 | 201)
    }
}

impl Attempt {
    /// The creation of an object.
    #[must_use]
    pub fn create(kind: Kind, namespace: &str, object: &Value) -> Self {
        Self { method: "POST", path: kind.path(namespace) + QUERY, body: object.to_string().into_bytes() }
    }

    /// The replacement of an object that exists; it names the version that it replaces.
    #[must_use]
    pub fn replace(kind: Kind, namespace: &str, object: &Value) -> Self {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let path = format!("{}/{name}{QUERY}", kind.path(namespace));
        Self { method: "PUT", path, body: object.to_string().into_bytes() }
    }

    /// Tries it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn send(&self, client: &Client) -> Result<Answer> {
        let request = Request::builder().method(self.method).uri(self.path.as_str()).header(CONTENT_TYPE, "application/json");
        let response = client.send(request.body(Body::from(self.body.clone()))?).await?;
        let status = response.status().as_u16();
        let warnings = response.headers().get_all(WARNING).iter().filter_map(warning).collect();
        let body = response.into_body().collect_bytes().await?;
        let answer = Answer { status, message: String::new(), warnings };
        if answer.is_allowed() {
            return Ok(answer);
        }
        let refusal: Value = serde_json::from_slice(&body).with_context(|| format!("{status} without a Status"))?;
        Ok(Answer { message: refusal["message"].as_str().unwrap_or_default().to_owned(), ..answer })
    }
}

/// `299 - "text"`, in which quotes and backslashes are escaped (RFC 7234, 5.5).
fn warning(value: &HeaderValue) -> Option<String> {
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let quoted = text.split_once('"')?.1.strip_suffix('"')?;
    Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_warning() {
        assert_eq!(warning(&HeaderValue::from_static("299 - \"a \\\"b\\\"\"")), Some("a \"b\"".to_owned()));
    }
}

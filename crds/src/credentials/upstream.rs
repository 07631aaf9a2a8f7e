//! Upstream: tokens and AWS keys of every provider, alone and in pools; keys in what becomes a URL; users before hosts; headers of health
//! checks and of CONNECT.
//!
//! Source of the places: `ai.proto`, `upstream.proto`, `health_check.proto`, `static.proto` and `failover.proto` of solo-io/gloo at
//! 8d57572e55.

use serde_json::Value;

use super::finder::{Finder, Way};
use super::literal::{self, Inline};
use super::path::Step;
use super::route::{header, url};
use super::{PLAINTEXT, Reason};

/// Fields of `spec.ai` and of a pool's entry that are providers. Whoever writes one directly under `spec`, where nobody serves it, has its
/// token in the object all the same; nothing of Gloo's has such a name there.
const PROVIDERS: [&str; 7] = ["openai", "mistral", "anthropic", "azureOpenai", "gemini", "vertexAi", "bedrock"];

/// What a provider has its credential in.
const CREDENTIALS: [&str; 2] = ["authToken", "credentialProvider"];

/// Entries of pools, in `ai` and without it.
const ENTRIES: [Way; 2] = [&["ai", "multi", "priorities[]", "pool[]"], &["multi", "priorities[]", "pool[]"]];

/// Texts of a provider that become part of a URL.
const URLS: [Way; 11] = [
    &["endpoint"],
    &["apiVersion"],
    &["deploymentName"],
    &["model"],
    &["modelPath"],
    &["projectId"],
    &["location"],
    &["customHost", "host"],
    &["customHost", "hostname"],
    &["customHost", "pathOverride", "fullPath"],
    &["customHost", "pathOverride", "basePath"],
];

/// Texts of a provider that are hosts, and should be no more.
const HOSTS: [Way; 3] = [&["endpoint"], &["customHost", "host"], &["customHost", "hostname"]];

/// The same beside providers.
const OTHER_HOSTS: [Way; 4] = [
    &["httpProxyHostname"],
    &["healthChecks[]", "httpHealthCheck", "host"],
    &["healthChecks[]", "grpcHealthCheck", "authority"],
    &["failover", "prioritizedLocalities[]", "localityEndpoints[]", "lbEndpoints[]", "healthCheckConfig", "hostname"],
];

/// Paths that health checks ask for.
const CHECKED_PATHS: [Way; 3] = [
    &["healthChecks[]", "httpHealthCheck", "path"],
    &["static", "hosts[]", "healthCheckConfig", "path"],
    &["failover", "prioritizedLocalities[]", "localityEndpoints[]", "lbEndpoints[]", "healthCheckConfig", "path"],
];

/// Gloo's `HeaderValue`s.
const HEADERS: [Way; 3] = [
    &["httpConnectHeaders[]"],
    &["healthChecks[]", "httpHealthCheck", "requestHeadersToAdd[]", "header"],
    &["healthChecks[]", "grpcHealthCheck", "initialMetadata[]", "header"],
];

/// Sources of a token or of AWS keys.
const SOURCES: [&str; 3] = ["inline", "secretRef", "passthrough"];

const AWS_KEYS: [&str; 3] = ["accessKeyId", "secretAccessKey", "sessionToken"];

pub(super) fn find(finder: &mut Finder, upstream: &Value) {
    finder.field(upstream, "metadata", plaintext);
    let namespace = upstream.get("metadata").and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
    finder.field(upstream, "spec", |finder, spec| {
        finder.field(spec, "ai", |finder, ai| providers(finder, ai, namespace));
        for name in PROVIDERS {
            finder.field(spec, name, |finder, misplaced| provider(finder, misplaced, namespace));
        }
        finder.every(spec, &ENTRIES, |finder, entry| providers(finder, entry, namespace));
        finder.every(spec, &CHECKED_PATHS, url);
        finder.every(spec, &HEADERS, |finder, given| header(finder, given, "key"));
        finder.every(spec, &OTHER_HOSTS, host);
    });
}

fn plaintext(finder: &mut Finder, metadata: &Value) {
    finder.field(metadata, "annotations", |finder, annotations| {
        if annotations.get(PLAINTEXT).and_then(Value::as_str) == Some("true") {
            finder.within(Step::Key(PLAINTEXT), |finder| finder.push(Reason::Plaintext, "true"));
        }
    });
}

/// Every provider, known or not. The name of one that we do not know is not repeated: it may be anything.
fn providers(finder: &mut Finder, parent: &Value, namespace: Option<&str>) {
    for (name, value) in parent.as_object().into_iter().flatten().filter(|(name, _)| *name != "multi") {
        let known = PROVIDERS.into_iter().find(|known| known == name).unwrap_or("*");
        finder.within(Step::Field(known), |finder| provider(finder, value, namespace));
    }
}

fn provider(finder: &mut Finder, provider: &Value, namespace: Option<&str>) {
    for name in CREDENTIALS {
        finder.field(provider, name, |finder, given| source(finder, given, namespace));
    }
    finder.every(provider, &URLS, url);
    finder.every(provider, &HOSTS, host);
}

/// `authToken` or `credentialProvider`.
fn source(finder: &mut Finder, source: &Value, namespace: Option<&str>) {
    if !source.is_object() {
        // No schema takes it, but whoever wrote it may have meant a token.
        return inline(finder, source);
    }
    let set: Vec<&str> = SOURCES.into_iter().filter(|name| source.get(name).is_some_and(|value| !value.is_null())).collect();
    if set.len() > 1 {
        finder.push(Reason::SeveralSources, &set.join(" "));
    }
    finder.field(source, "inline", inline);
    finder.field(source, "secretRef", |finder, reference| foreign(finder, reference, namespace));
}

fn inline(finder: &mut Finder, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => match literal::inline(text) {
            Inline::Empty => finder.push(Reason::EmptyToken, text),
            Inline::Unexpanded => finder.push(Reason::UnexpandedToken, text),
            Inline::Token => finder.push(Reason::InlineToken, text),
        },
        Value::Object(keys) if AWS_KEYS.into_iter().any(|key| keys.contains_key(key)) => {
            // One level only: what stands at a key is a text, or an oddity that is a token as well.
            for key in AWS_KEYS {
                finder.field(value, key, aws_key);
            }
        }
        Value::Object(keys) if keys.is_empty() => finder.push(Reason::EmptyToken, ""),
        Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) => finder.push(Reason::InlineToken, &value.to_string()),
    }
}

fn aws_key(finder: &mut Finder, value: &Value) {
    match value {
        Value::String(_) => inline(finder, value),
        _ => finder.push(Reason::InlineToken, &value.to_string()),
    }
}

/// Without the object's namespace nothing can be said.
fn foreign(finder: &mut Finder, reference: &Value, own: Option<&str>) {
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    let other = text("namespace");
    if own.is_some_and(|own| !other.is_empty() && other != own) {
        let whose = format!("{other}/{}", text("name"));
        finder.within(Step::Field("namespace"), |finder| finder.push(Reason::ForeignSecret, &whose));
    }
}

/// Text that is a host, and should be no more. The host may change behind a user.
fn host(finder: &mut Finder, value: &Value) {
    if let Some(user) = value.as_str().and_then(literal::user) {
        finder.push(Reason::CredentialInUrl, user);
    }
}

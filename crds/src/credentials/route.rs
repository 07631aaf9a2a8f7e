//! HTTPRoute and GRPCRoute: credentials in filters that set headers or write paths anew. Matches are not judged: they compare with what a
//! client sends and send nothing.

use serde_json::Value;

use super::finder::Finder;
use super::{Reason, literal};

pub(super) fn find(finder: &mut Finder, route: &Value) {
    finder.field(route, "spec", |finder, spec| {
        finder.each(spec, "rules", |finder, rule| {
            finder.each(rule, "filters", filter);
            finder.each(rule, "backendRefs", |finder, backend| finder.each(backend, "filters", filter));
        });
    });
}

fn filter(finder: &mut Finder, filter: &Value) {
    finder.field(filter, "requestHeaderModifier", |finder, modifier| {
        finder.each(modifier, "set", header);
        finder.each(modifier, "add", header);
    });
    finder.field(filter, "urlRewrite", path);
    finder.field(filter, "requestRedirect", path);
}

fn header(finder: &mut Finder, header: &Value) {
    if header.get("name").and_then(Value::as_str).is_some_and(literal::is_credential_header) {
        finder.field(header, "value", literal_value);
    }
}

/// The value of a header that carries credentials.
pub(super) fn literal_value(finder: &mut Finder, value: &Value) {
    match value.as_str() {
        Some("") => {}
        Some(text) => finder.push(Reason::CredentialHeader, text),
        None => finder.push(Reason::CredentialHeader, &value.to_string()),
    }
}

fn path(finder: &mut Finder, rewrite: &Value) {
    finder.field(rewrite, "path", |finder, path| {
        finder.field(path, "replaceFullPath", url);
        finder.field(path, "replacePrefixMatch", url);
    });
}

/// Text that becomes part of a URL.
pub(super) fn url(finder: &mut Finder, value: &Value) {
    if let Some(text) = value.as_str().filter(|text| literal::has_key_in_query(text)) {
        finder.push(Reason::CredentialInUrl, text);
    }
}

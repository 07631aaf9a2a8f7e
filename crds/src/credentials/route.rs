//! HTTPRoute and GRPCRoute: credentials in filters that set headers or write paths anew. Matches are not judged: they compare with what a
//! client sends and send nothing.

use serde_json::Value;

use super::finder::{Finder, Way};
use super::{Reason, literal};

const FILTERS: [Way; 2] = [&["spec", "rules[]", "filters[]"], &["spec", "rules[]", "backendRefs[]", "filters[]"]];

/// Headers that a filter sets.
const HEADERS: [Way; 2] = [&["requestHeaderModifier", "set[]"], &["requestHeaderModifier", "add[]"]];

/// Paths that a filter writes.
const PATHS: [Way; 4] = [
    &["urlRewrite", "path", "replaceFullPath"],
    &["urlRewrite", "path", "replacePrefixMatch"],
    &["requestRedirect", "path", "replaceFullPath"],
    &["requestRedirect", "path", "replacePrefixMatch"],
];

pub(super) fn find(finder: &mut Finder, route: &Value) {
    finder.every(route, &FILTERS, |finder, filter| {
        finder.every(filter, &HEADERS, |finder, given| header(finder, given, "name"));
        finder.every(filter, &PATHS, url);
    });
}

/// A header whose name stands in the field `name`: a value goes by its header, for in another one it is another credential.
pub(super) fn header(finder: &mut Finder, header: &Value, name: &str) {
    let Some(known) = header.get(name).and_then(Value::as_str).and_then(literal::credential_header) else { return };
    finder.field(header, "value", |finder, value| match value.as_str() {
        Some("") => {}
        Some(text) => finder.push(Reason::CredentialHeader, &format!("{known}: {text}")),
        None => finder.push(Reason::CredentialHeader, &format!("{known}: {value}")),
    });
}

/// Text that becomes part of a URL. The rest of the URL may change around a key.
pub(super) fn url(finder: &mut Finder, value: &Value) {
    for key in value.as_str().into_iter().flat_map(literal::keys_in_query) {
        finder.push(Reason::CredentialInUrl, &key);
    }
}

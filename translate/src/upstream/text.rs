//! Judging text that becomes part of a path or a host name: what a manifest says must not be able to change what the rest of a request
//! means.

use http::uri::PathAndQuery;

use crate::finding::Flaw;

/// A protobuf string: empty is as good as absent.
pub(super) fn set(given: &Option<String>) -> Option<&str> {
    given.as_deref().filter(|text| !text.is_empty())
}

/// One element of a path: no slash, no query, nothing that would need encoding.
pub(super) fn segment<'t>(text: &'t str, field: &str) -> Result<&'t str, Flaw> {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~:@+".contains(&b);
    match text.bytes().all(sound) && !matches!(text, "" | "." | "..") {
        true => Ok(text),
        false => Err(Flaw::new(
            format!(".{field}"),
            format!("{field} becomes part of a path: use letters, digits and any of - . _ ~ : @ + only (no space, slash, '%' or '?')"),
        )),
    }
}

/// A field that the path cannot do without.
pub(super) fn needed<'t>(given: &'t Option<String>, field: &str) -> Result<&'t str, Flaw> {
    match set(given) {
        Some(text) => segment(text, field),
        None => Err(Flaw::new(format!(".{field}"), format!("{field} is missing: it is part of the provider's path"))),
    }
}

/// A field with a default.
pub(super) fn or<'t>(given: &'t Option<String>, default: &'static str, field: &str) -> Result<&'t str, Flaw> {
    set(given).map_or(Ok(default), |text| segment(text, field))
}

/// An absolute path. The text may hold a credential and is not repeated.
pub(super) fn path(text: &str, below: &str) -> Result<(), Flaw> {
    let flaw = |what: &str| Err(Flaw::new(below, format!("the path {what}")));
    match () {
        () if !text.starts_with('/') => flaw("does not start with '/'"),
        () if text.contains(['?', '#']) => flaw("has a '?' or '#'"),
        () if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('%') => {
            flaw("has a space, a control character, a '%' or a character outside ASCII")
        }
        () if text.contains("//") || policy::check_path(text).is_err() => flaw("has an empty, '.' or '..' element"),
        () if PathAndQuery::try_from(text).is_err() => flaw("is too long or has a character, such as '<', that must be percent-encoded"),
        () => Ok(()),
    }
}

/// The query of a full path: no credential in it, since a manifest is no place for one and `authToken` is.
pub(super) fn query(text: &str, below: &str) -> Result<(), Flaw> {
    let sound = PathAndQuery::try_from(format!("/?{text}")).is_ok() && text.bytes().all(|b| b.is_ascii_graphic());
    if !sound || text.contains(['#', '%', ';']) {
        return Err(Flaw::new(below, "the query has a space, '#', '%', ';' or another character that must be percent-encoded"));
    }
    match text.split('&').find(|pair| policy::is_credential_parameter(pair)) {
        None => Ok(()),
        Some(pair) => {
            let name = pair.split('=').next().unwrap_or_default();
            let message =
                format!("the query parameter {name} carries a credential: remove it, put the credential into authToken, and rotate it");
            Err(Flaw::new(below, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_change_the_rest_of_a_path() {
        for bad in ["", ".", "..", "a/b", "a?b", "a#b", "a b", "a%2fb", "a\r\nb", "ä"] {
            assert!(segment(bad, "model").is_err(), "{bad:?}");
        }
        for good in ["gpt-4o", "claude-3-5-sonnet@20240620", "v1beta", "example.com:my-project"] {
            assert_eq!(segment(good, "model"), Ok(good));
        }
    }

    #[test]
    fn refuses_credentials_in_a_query_without_repeating_them() {
        for bad in ["key=sk-canary", "alt=sse&KEY=sk-canary", "api_key=sk-canary", "k%65y=sk-canary", "a=b;key=sk-canary"] {
            let flaw = query(bad, ".fullPath").unwrap_err();
            assert!(!flaw.message.contains("canary"), "{flaw:?}");
        }
        assert_eq!(query("api-version=2024-02-01&alt=sse", ".fullPath"), Ok(()));
    }

    #[test]
    fn refuses_what_no_request_could_carry() {
        for bad in ["a", "/a b", "/a<b", "/`", "/a//b", "/a/../b", "/a?b"] {
            assert!(path(bad, "").is_err(), "{bad}");
        }
        assert!(query("a=<b>", "").is_err() && query("a=\"b", "").is_err());
    }
}

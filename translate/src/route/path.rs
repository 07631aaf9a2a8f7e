//! Paths in a manifest: what is wrong with them, and what a match makes of them.

use http::uri::PathAndQuery;
use policy::config::PathMatch;

use super::expression;
use crate::finding::Flaw;
use crate::model::HttpPath;

/// The CRD allows no longer path; what a file has beyond that is not kept as an expression, whose size is limited.
const LONGEST: usize = 1024;

/// Judges a path that a match compares with, or that a filter puts in place: absolute, without query, and meaning the same to everybody
/// (the CEL rules of `HTTPPathMatch` and more). The words follow "the path …".
pub(super) fn flaw(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    match () {
        () if !path.starts_with('/') => Some("does not start with '/'"),
        () if path.contains(['?', '#']) => Some("has a '?' or '#': a path has neither query nor fragment"),
        () if !path.bytes().all(|b| b.is_ascii_graphic()) => {
            Some("has a space, a control character or a character outside ASCII: percent-encode it")
        }
        () if path.contains("//") => Some("has an empty element ('//')"),
        () if lower.contains("%2f") => Some("has an encoded slash ('%2f')"),
        () if policy::check_path(path).is_err() => Some("has an element '.' or '..'"),
        () if PathAndQuery::try_from(path).is_err() => Some("is too long or has a character, such as '<', that must be percent-encoded"),
        () => None,
    }
}

/// `matches[].path` of an HTTPRoute.
pub(super) fn condition(given: &HttpPath) -> Result<PathMatch, Flaw> {
    let sound = |path: fn(String) -> PathMatch| match flaw(&given.value) {
        None => Ok(path(given.value.clone())),
        Some(flaw) => Err(Flaw::new(".value", format!("the path {flaw}"))),
    };
    match given.kind.as_str() {
        "Exact" => sound(PathMatch::Exact),
        "PathPrefix" => sound(PathMatch::Prefix),
        "RegularExpression" => {
            expression::judge(&given.value).map(|()| PathMatch::Regex(given.value.clone())).map_err(|flaw| flaw.under(".value"))
        }
        _ => Err(Flaw::new(".type", "the match type is not known: use Exact, PathPrefix or RegularExpression")),
    }
}

/// In place of a condition that cannot be read: everything below the elements that can. It ranks as an expression, so that a request
/// that the author meant for this rule does not fall through to a less specific one.
pub(super) fn everything_below(elements: &str) -> PathMatch {
    PathMatch::Regex(format!("{}(?:/.*)?", regex::escape(elements)))
}

/// The first elements of a path that cannot be read as a whole, as far as they are beyond doubt.
pub(super) fn readable(given: &HttpPath) -> &str {
    let value = given.value.as_str();
    let (path, plain) = match given.kind.as_str() {
        // A query in the wrong place leaves no doubt about the path before it.
        "Exact" | "PathPrefix" => (value.split(['?', '#']).next().unwrap_or_default(), "-._~!&',;=:@"),
        _ if value.contains('|') => ("", ""),
        _ => (value, "-_~!&',;=:@"),
    };
    if path.len() > LONGEST || policy::check_path(path).is_err() {
        return "";
    }
    let is_plain = |element: &&str| !element.is_empty() && element.chars().all(|c| c.is_ascii_alphanumeric() || plain.contains(c));
    let length: usize = path.split('/').skip(1).take_while(is_plain).map(|element| element.len() + 1).sum();
    path.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_paths() {
        for bad in ["", "a", "/a?b", "/a#b", "/a b", "/ä", "/a\r\nb", "/a//b", "/a/%2Fb", "/a/../b", "/a/%2e", "/a<b", "/>", "/`"] {
            assert!(flaw(bad).is_some(), "{bad}");
        }
        for good in ["/", "/a", "/a/", "/a.b/%20c", "/v1/chat/completions"] {
            assert_eq!(flaw(good), None, "{good}");
        }
    }

    #[test]
    fn keeps_the_elements_that_are_beyond_doubt() {
        for (kind, value, expected) in [
            ("RegularExpression", "/api/v[0-9", "/api"),
            ("RegularExpression", "/a/b?(", "/a"),
            ("RegularExpression", "/a|/b(", ""),
            ("RegularExpression", "(", ""),
            ("RegularExpression", ".*(", ""),
            ("Exact", "a/b", ""),
            ("PathPrefix", "/a?key=x", "/a"),
            ("PathPrefix", "/v1.0/a//b", "/v1.0/a"),
            ("Exact", "/a b", ""),
            ("Exact", "/x/a b/c", "/x"),
            ("Exact", "/a/../b", ""),
            ("Glob", "/a/*", "/a"),
        ] {
            let given = HttpPath { kind: kind.into(), value: value.into() };
            assert!(condition(&given).is_err(), "{kind} {value}");
            assert_eq!(readable(&given), expected, "{kind} {value}");
        }
    }

    #[test]
    fn covers_what_is_below_and_nothing_beside() {
        let PathMatch::Regex(pattern) = everything_below("/a.b") else { panic!("not an expression") };
        let whole = policy::whole(&pattern).unwrap();
        assert!(["/a.b", "/a.b/", "/a.b/c/d"].iter().all(|path| whole.is_match(path)));
        assert!(["/a.bc", "/aXb", "/"].iter().all(|path| !whole.is_match(path)));
        let PathMatch::Regex(pattern) = everything_below("") else { panic!("not an expression") };
        assert!(policy::whole(&pattern).unwrap().is_match("/anything"));
    }
}

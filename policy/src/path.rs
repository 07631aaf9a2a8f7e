//! Paths: what is refused, and how a new one is made from the old.

use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use crate::config::{PathChange, ProviderPaths};

/// Why a path is refused or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `.` or `..` as an element, plain or percent-encoded: two readers could disagree about what it names.
    #[error("the path has a '.' or '..' element")]
    DotSegment,
    /// Not a path at all.
    #[error("{0:?} is not an absolute path")]
    NotAPath(String),
}

/// Refuses paths whose meaning changes when somebody downstream normalizes them.
pub fn check_path(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') && path != "*" {
        return Err(PathError::NotAPath(path.to_owned()));
    }
    let suspicious = path.bytes().zip(path.bytes().skip(1)).any(|pair| matches!(pair, (b'/', b'.') | (b'\\', _) | (b'%', _)));
    match suspicious && has_dot_segment(path) {
        true => Err(PathError::DotSegment),
        false => Ok(()),
    }
}

/// Looks through one layer of percent-encoding, at both slashes, and past path parameters (`..;x`).
fn has_dot_segment(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let is_dots = |segment: &[u8]| matches!(segment.split(|b| *b == b';').next(), Some(b"." | b".."));
    decoded.split(|b| matches!(b, b'/' | b'\\')).any(is_dots)
}

/// The path after `change`, where `matched` bytes of it were the matched prefix.
///
/// Replacing `/xyz` in `/xyz/` gives no double slash, and replacing all of a path by nothing gives `/`
/// (table at `HTTPPathModifier.replacePrefixMatch`).
pub(crate) fn changed_path(path: &str, matched: usize, change: &PathChange) -> String {
    match change {
        PathChange::Full(full) => full.clone(),
        PathChange::Prefix(prefix) => {
            let rest = path.get(matched..).unwrap_or_default();
            match (prefix.trim_end_matches('/'), rest) {
                ("", "") => "/".to_owned(),
                ("", rest) if !rest.starts_with('/') => format!("/{rest}"),
                (_, "") => prefix.clone(),
                (prefix, rest) if rest.starts_with('/') => format!("{prefix}{rest}"),
                (prefix, rest) => format!("{prefix}/{rest}"),
            }
        }
    }
}

/// Path and query as an origin-form target.
pub(crate) fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, PathError> {
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    PathAndQuery::try_from(text).map_err(|_| PathError::NotAPath(path.to_owned()))
}

impl ProviderPaths {
    /// Whether a path without query goes to the provider unchanged.
    pub(crate) fn leaves(&self, path: &str) -> bool {
        let untouched = self.base.is_none() && self.full.is_none() && self.query.is_none();
        untouched && (path == self.chat || self.keep.iter().any(|prefix| path.starts_with(prefix.as_str())))
    }

    /// What to ask the provider for, given the request's path after the route's filters and its query without credentials.
    pub(crate) fn target(&self, path: &str, query: Option<&str>) -> Result<PathAndQuery, PathError> {
        let kept = self.keep.iter().any(|prefix| path.starts_with(prefix.as_str()));
        let chat_path = self.chat.split('?').next().unwrap_or_default();
        let (path, fixed_query) = match (&self.full, kept) {
            (Some(full), _) if !kept || path == chat_path => split(full),
            (_, true) => (path, None),
            (_, false) => split(&self.chat),
        };
        let path = match &self.base {
            Some(base) => format!("{}{path}", base.trim_end_matches('/')),
            None => path.to_owned(),
        };
        let mut parts: Vec<&str> = fixed_query.into_iter().chain(query).filter(|part| !part.is_empty()).collect();
        let added = self.query.as_ref().filter(|(name, _)| !parts.iter().any(|part| has_parameter(part, name)));
        let added = added.map(|(name, value)| format!("{name}={value}"));
        parts.extend(added.as_deref());
        let query = (!parts.is_empty()).then(|| parts.join("&"));
        target(&path, query.as_deref())
    }
}

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

fn has_parameter(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_dot_segments_in_every_spelling() {
        for bad in [
            "/a/../b",
            "/..",
            "/.",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/%2e/",
            "/a/..%2fb",
            "/a%2f..",
            "/a/..;x/b",
            "/a\\..\\b",
            "/a%5c..%5cb",
            "a",
            "",
        ] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        for good in ["/", "/a.b/..c", "/...", "/.well-known/x", "/a%20b", "/a%2fb", "*"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn replaces_prefixes_as_the_specification_tabulates() {
        for (path, matched, prefix, expected) in [
            ("/foo/bar", 4, "/xyz", "/xyz/bar"),
            ("/foo/bar", 4, "/xyz/", "/xyz/bar"),
            ("/foo/", 4, "/xyz", "/xyz/"),
            ("/foo", 4, "/xyz", "/xyz"),
            ("/foo", 4, "/xyz/", "/xyz/"),
            ("/foo/bar", 4, "", "/bar"),
            ("/foo/", 4, "", "/"),
            ("/foo", 4, "", "/"),
            ("/foo/", 4, "/", "/"),
            ("/foo", 4, "/", "/"),
            ("/bar", 0, "/xyz", "/xyz/bar"),
        ] {
            assert_eq!(changed_path(path, matched, &PathChange::Prefix(prefix.into())), expected, "{path} {prefix}");
        }
    }

    fn azure() -> ProviderPaths {
        ProviderPaths {
            keep: vec!["/openai/".into()],
            chat: "/openai/deployments/gpt/chat/completions".into(),
            query: Some(("api-version".into(), "2024-02-01".into())),
            ..ProviderPaths::default()
        }
    }

    #[test]
    fn finds_provider_paths() {
        let openai = ProviderPaths { keep: vec!["/v1/".into()], chat: "/v1/chat/completions".into(), ..ProviderPaths::default() };
        let with = |base: Option<&str>, full: Option<&str>| ProviderPaths {
            base: base.map(str::to_owned),
            full: full.map(str::to_owned),
            ..openai.clone()
        };
        for (paths, path, query, expected) in [
            (openai.clone(), "/v1/embeddings", None, "/v1/embeddings"),
            (openai.clone(), "/anything", Some("a=b"), "/v1/chat/completions?a=b"),
            (with(Some("/llm/"), None), "/v1/models", None, "/llm/v1/models"),
            (with(None, Some("/chat?v=1")), "/v1/chat/completions", Some("a=b"), "/chat?v=1&a=b"),
            (with(None, Some("/chat?v=1")), "/v1/embeddings", None, "/v1/embeddings"),
            (azure(), "/x", None, "/openai/deployments/gpt/chat/completions?api-version=2024-02-01"),
            (azure(), "/openai/models", Some("api-version=1"), "/openai/models?api-version=1"),
        ] {
            assert_eq!(paths.target(path, query).unwrap().as_str(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_path_is_judged_and_changed_without_panic(path in "\\PC{0,40}", prefix in "/[a-z/]{0,8}", matched in 0usize..50) {
            let _ = check_path(&path);
            prop_assert!(changed_path(&path, matched, &PathChange::Prefix(prefix)).starts_with('/'));
        }
    }
}

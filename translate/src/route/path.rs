//! What is wrong with a path in a manifest.

/// Judges a path that a match compares with, or that a filter puts in place: absolute, without query, and meaning the same to everybody
/// (the CEL rules of `HTTPPathMatch` and more). The words follow "path …".
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
        () => None,
    }
}

/// The part of a path that may be repeated in a message: a query can hold a key.
pub(super) fn printable(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_paths() {
        for bad in ["", "a", "/a?b", "/a#b", "/a b", "/ä", "/a\r\nb", "/a//b", "/a/%2Fb", "/a/../b", "/a/%2e"] {
            assert!(flaw(bad).is_some(), "{bad}");
        }
        for good in ["/", "/a", "/a/", "/a.b/%20c", "/v1/chat/completions"] {
            assert_eq!(flaw(good), None, "{good}");
        }
    }

    #[test]
    fn prints_no_query() {
        assert_eq!(printable("/chat?key=sk-canary"), "/chat");
    }
}

//! Hostnames of listeners and routes: exact or with one leading wildcard label.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A lower-case hostname, `example.com` or `*.example.com`. A wildcard stands for one or more labels
/// (Gateway API, `HTTPRouteSpec.hostnames`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// A text is not a [`Hostname`]. Does not repeat the text: it could be anything, a URL with a password in it, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hostname: use DNS labels of letters, digits and '-', optionally with a leading \"*.\"")]
pub struct HostnameError;

impl Hostname {
    /// Parses and lower-cases a hostname.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let lower = text.to_ascii_lowercase();
        let labels = lower.strip_prefix("*.").unwrap_or(&lower);
        match !labels.is_empty() && labels.len() <= 253 && labels.split('.').all(is_label) {
            true => Ok(Self(lower)),
            false => Err(HostnameError),
        }
    }

    /// The text, lower-case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `*.example.com`: `.example.com`.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    /// Whether a request for `host` (lower-case, without port) is for this hostname.
    pub fn matches(&self, host: &str) -> bool {
        match self.wildcard_suffix() {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => self.0 == host,
        }
    }

    /// The hostname that both a listener and a route serve, the more specific of the two, if they meet.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (self.wildcard_suffix(), other.wildcard_suffix()) {
            (None, None) => (self == other).then(|| self.clone()),
            (Some(_), None) => self.matches(&other.0).then(|| other.clone()),
            (None, Some(_)) => other.matches(&self.0).then(|| self.clone()),
            (Some(a), Some(b)) if a.ends_with(b) => Some(self.clone()),
            (Some(a), Some(b)) if b.ends_with(a) => Some(other.clone()),
            (Some(_), Some(_)) => None,
        }
    }

    /// Specificity for precedence: exact before wildcard, then more characters first.
    pub(crate) fn rank(&self) -> (bool, usize) {
        (self.wildcard_suffix().is_none(), self.0.len())
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&bytes.len()) && bytes.iter().all(inner) && bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-'
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.0
    }
}

/// The host of a request's authority: without port, without trailing dot, lower-case; borrowed when nothing had to change.
pub fn normalize_host(authority: &str) -> Cow<'_, str> {
    let without_port = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(authority, |(v6, _)| v6),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    let host = without_port.strip_suffix('.').unwrap_or(without_port);
    match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn wildcard_stands_for_one_or_more_labels_but_not_none() {
        let wildcard = host("*.example.com");
        assert!(wildcard.matches("a.example.com") && wildcard.matches("a.b.example.com"));
        assert!(!wildcard.matches("example.com") && !wildcard.matches(".example.com.evil") && !wildcard.matches("aexample.com"));
    }

    #[test]
    fn refuses_what_is_not_a_hostname() {
        for bad in ["", "*", "*.", "a..b", "-a.com", "a_b.com", "a.*.com", "exa mple.com", "a.com\r\nx: y"] {
            assert!(Hostname::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn normalizes_port_case_and_trailing_dot() {
        for (authority, expected) in
            [("Example.COM:8080", "example.com"), ("example.com.", "example.com"), ("[::1]:80", "::1"), ("a", "a"), ("a.:1", "a")]
        {
            assert_eq!(normalize_host(authority), expected);
        }
    }

    fn any_hostname() -> impl Strategy<Value = Hostname> {
        (any::<bool>(), "[a-c](\\.[a-c]){0,3}").prop_map(|(wild, name)| host(&format!("{}{name}", if wild { "*." } else { "" })))
    }

    proptest! {
        #[test]
        fn intersection_is_symmetric_and_matches_what_both_match(a in any_hostname(), b in any_hostname(), name in "[a-c](\\.[a-c]){0,4}") {
            let both = a.intersect(&b);
            prop_assert_eq!(&both, &b.intersect(&a));
            prop_assert_eq!(both.is_some_and(|h| h.matches(&name)), a.matches(&name) && b.matches(&name));
        }

        #[test]
        fn normalizing_never_panics(text in "\\PC*") {
            let _ = normalize_host(&text);
        }
    }
}

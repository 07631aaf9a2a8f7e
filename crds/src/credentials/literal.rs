//! Text that is a credential, or that stands where one should: tokens, headers, URLs.

use percent_encoding::percent_decode_str;

/// Headers that carry a credential, in lower case. The first nine are what the proxy removes from a client's request
/// (`policy::CREDENTIAL_HEADERS`; `policy` and this crate do not import each other, and a test of `cli`, which imports both, compares
/// them). Names are listed and not guessed: a refusal for `x-session-affinity` would hold up a good route. The ValidatingAdmissionPolicy
/// and the webhook's matchConditions have the same list.
pub const CREDENTIAL_HEADERS: [&str; 11] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "ocp-apim-subscription-key",
    "x-goog-iam-authorization-token",
    "x-auth-token",
    "x-access-token",
];

/// Query parameters that carry a credential, in lower case: `policy::is_credential_parameter` has the same.
pub const CREDENTIAL_PARAMETERS: [&str; 9] =
    ["key", "api_key", "api-key", "apikey", "access_token", "oauth_token", "bearer_token", "subscription-key", "x-goog-api-key"];

/// Whether a header of this name carries a credential.
pub fn is_credential_header(name: &str) -> bool {
    CREDENTIAL_HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Whether a path or URL has a query parameter that carries a credential, with a value.
pub(super) fn has_key_in_query(text: &str) -> bool {
    let carries = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        !value.is_empty() && is_credential_parameter(name)
    };
    text.split_once('?').is_some_and(|(_, query)| query.split(['&', ';', '?', '#']).any(carries))
}

fn is_credential_parameter(name: &str) -> bool {
    let name: Vec<u8> = percent_decode_str(name).collect();
    CREDENTIAL_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether a host or URL says who logs in there: `https://user:password@host`.
pub(super) fn has_user(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    authority.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// What stands at `inline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inline {
    Empty,
    Unexpanded,
    Token,
}

/// By the same rules as the translation: trimmed, without a leading `Bearer`.
pub(super) fn inline(text: &str) -> Inline {
    let trimmed = text.trim();
    let token = match trimmed.split_once(char::is_whitespace) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        Some(_) | None if trimmed.eq_ignore_ascii_case("bearer") => "",
        Some(_) | None => trimmed,
    };
    match token {
        "" => Inline::Empty,
        _ if is_unexpanded(token) => Inline::Unexpanded,
        _ => Inline::Token,
    }
}

/// `$TOKEN`, `${TOKEN}`, `$(TOKEN)`.
fn is_unexpanded(token: &str) -> bool {
    let Some(rest) = token.strip_prefix('$') else { return false };
    let inner = |open: char, close: char| rest.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let name = inner('{', '}').or_else(|| inner('(', ')')).unwrap_or(rest);
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_token_from_what_stands_in_for_one() {
        for empty in ["", "  ", "Bearer", "bearer ", "\n"] {
            assert_eq!(inline(empty), Inline::Empty, "{empty:?}");
        }
        for unexpanded in ["$TOKEN", "${TOKEN}", "$(TOKEN)", "Bearer $OPENAI_API_KEY", "$"] {
            assert_eq!(inline(unexpanded), Inline::Unexpanded, "{unexpanded:?}");
        }
        for token in ["sk-1", "Bearer sk-1", "$ecret!", "${A}b", "пароль", "c2stMQ=="] {
            assert_eq!(inline(token), Inline::Token, "{token:?}");
        }
    }

    #[test]
    fn finds_keys_in_queries_however_they_are_written() {
        for bad in ["/v1?key=a", "/v1?alt=sse&KEY=a", "/?k%65y=a", "/?a=b;api_key=c", "https://h/x?a#?access_token=t"] {
            assert!(has_key_in_query(bad), "{bad}");
        }
        for good in ["/v1/key=a", "/v1?keyword=a", "/v1?key=", "/v1?key", "/v1?alt=sse&api-version=2024-02-01", ""] {
            assert!(!has_key_in_query(good), "{good}");
        }
    }

    #[test]
    fn finds_users_before_hosts_only() {
        for bad in ["https://u:p@host", "u@host:443/x", "redis://:p@host/0"] {
            assert!(has_user(bad), "{bad}");
        }
        for good in ["host", "https://host/models/claude@2024", "host?a=@b", ""] {
            assert!(!has_user(good), "{good}");
        }
    }
}

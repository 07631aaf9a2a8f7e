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

/// The header as it is listed, if one of this name carries a credential.
pub(super) fn credential_header(name: &str) -> Option<&'static str> {
    CREDENTIAL_HEADERS.into_iter().find(|known| known.eq_ignore_ascii_case(name.trim()))
}

/// Every query parameter of a path or URL that carries a credential: the name as it is listed, `=` and the value.
pub(super) fn keys_in_query(text: &str) -> impl Iterator<Item = String> {
    let query = text.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', ';', '?', '#']).filter_map(|pair| {
        let (name, value) = pair.split_once('=').filter(|(_, value)| !value.is_empty())?;
        Some(format!("{}={value}", credential_parameter(name)?))
    })
}

fn credential_parameter(name: &str) -> Option<&'static str> {
    let name: Vec<u8> = percent_decode_str(name).collect();
    CREDENTIAL_PARAMETERS.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Who logs in at a host or URL: the `user:password` of `https://user:password@host`.
pub(super) fn user(text: &str) -> Option<&str> {
    let scheme = text.split_once("://").filter(|(scheme, _)| !scheme.contains(['@', '/', '?', '#']));
    let authority = scheme.map_or(text, |(_, rest)| rest).split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user, _)| user)
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
        for (bad, expected) in [
            ("/v1?key=a", vec!["key=a"]),
            ("/v1?alt=sse&KEY=A", vec!["key=A"]),
            ("/?k%65y=a", vec!["key=a"]),
            ("/?a=b;api_key=c", vec!["api_key=c"]),
            ("https://h/x?a#?access_token=t", vec!["access_token=t"]),
            ("/?key=a=&key=&apikey=b", vec!["key=a=", "apikey=b"]),
        ] {
            assert_eq!(keys_in_query(bad).collect::<Vec<_>>(), expected, "{bad}");
        }
        for good in ["/v1/key=a", "/v1?keyword=a", "/v1?key=", "/v1?key", "/v1?alt=sse&api-version=2024-02-01", ""] {
            assert_eq!(keys_in_query(good).next(), None, "{good}");
        }
    }

    #[test]
    fn finds_users_before_hosts_only() {
        for (bad, expected) in [
            ("https://u:p@host", "u:p"),
            ("HTTPS://u:p@host", "u:p"),
            ("u@host:443/x", "u"),
            ("redis://:p@host/0", ":p"),
            ("u:p@q@host?a=://b", "u:p@q"),
            ("u:p@host://b", "u:p"),
        ] {
            assert_eq!(user(bad), Some(expected), "{bad}");
        }
        for good in ["host", "https://host/models/claude@2024", "host?a=@b", "host/a@b", ""] {
            assert_eq!(user(good), None, "{good}");
        }
    }
}

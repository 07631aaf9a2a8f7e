//! The credential rules on a request: every one the client sent is removed, and exactly one is set.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use percent_encoding::percent_decode_str;

use crate::{ProviderKind, Reason, Token};

/// Headers that carry a credential to one provider or another; none of a client's reaches a provider. Cookies belong to the
/// gateway's own host and are none of a provider's business.
pub static CREDENTIAL_HEADERS: [HeaderName; 9] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
];

/// Query parameters that carry a credential (compared after percent-decoding, in any case).
const CREDENTIAL_PARAMETERS: [&str; 9] =
    ["key", "api_key", "api-key", "apikey", "access_token", "oauth_token", "bearer_token", "subscription-key", "x-goog-api-key"];

/// How browsers say a key and its account in a WebSocket handshake, where they cannot set headers (OpenAI's realtime API).
const CREDENTIAL_PROTOCOLS: [&str; 3] = ["openai-insecure-api-key.", "openai-organization.", "openai-project."];

/// Whether a header literal in a manifest must be treated as a credential.
pub fn is_credential_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIAL_HEADERS.iter().any(|known| known == name.as_str())
        || ["token", "secret", "passw", "key", "auth", "credential", "session", "signature", "cookie"]
            .iter()
            .any(|part| name.contains(part))
}

/// A provider's credential, ready to send. `Err` when the token cannot stand in a header.
pub(crate) fn header_value(kind: ProviderKind, token: &Token) -> Result<HeaderValue, Reason> {
    let usable = !token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("{}{}", kind.scheme(), token.expose()));
    match value {
        Ok(mut value) if usable => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => Err(Reason::SecretMalformed),
    }
}

/// Removes every credential a client may have sent.
pub(crate) fn strip_headers(headers: &mut HeaderMap) {
    for name in &CREDENTIAL_HEADERS {
        headers.remove(name);
    }
    if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        strip_protocols(headers);
    }
}

fn strip_protocols(headers: &mut HeaderMap) {
    let offered: Vec<String> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect();
    let is_credential = |protocol: &&str| CREDENTIAL_PROTOCOLS.iter().any(|known| protocol.to_ascii_lowercase().starts_with(known));
    let kept: Vec<&str> = offered.iter().flat_map(|value| value.split(',')).map(str::trim).filter(|p| !is_credential(p)).collect();
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(value) = HeaderValue::try_from(kept.join(", ")).ok().filter(|_| !kept.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
}

/// The query without parameters that carry a credential; `None` when nothing is left.
pub(crate) fn strip_query(query: &str) -> Option<String> {
    let kept: Vec<String> = query.split('&').filter_map(strip_pair).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// Old servers part pairs at `;` too. A `;` stays where no credential hides behind it.
fn strip_pair(pair: &str) -> Option<String> {
    let parts: Vec<&str> = pair.split(';').filter(|part| !is_credential_parameter(part)).collect();
    let kept = parts.join(";");
    (!kept.is_empty()).then_some(kept)
}

/// Whether a query parameter (`name=value`) carries a credential.
pub fn is_credential_parameter(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let name: Vec<u8> = percent_decode_str(name).collect();
    CREDENTIAL_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The client's own token, re-homed to the provider's header. `Authorization` comes first, then the provider's own header.
pub(crate) fn passthrough(kind: ProviderKind, headers: &HeaderMap) -> Result<HeaderValue, Reason> {
    let token = match only(headers, &AUTHORIZATION)? {
        Some(value) => bearer(value)?,
        None => only(headers, &kind.credential_header())?.ok_or(Reason::ClientTokenMissing)?,
    };
    header_value(kind, &Token::new(token)).map_err(|_| Reason::ClientTokenMissing)
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Reason> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.trim())).map_err(|_| Reason::ClientTokenMissing),
        (Some(_), Some(_)) => Err(Reason::ClientTokenAmbiguous),
    }
}

fn bearer(value: &str) -> Result<&str, Reason> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Reason::ClientTokenMissing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        map
    }

    #[test]
    fn strips_every_known_credential_with_duplicates_and_odd_casing() {
        let mut map = headers(&[("AuthorizatioN", "a"), ("authorization", "b"), ("X-API-Key", "c"), ("api-KEY", "d"), ("accept", "e")]);
        strip_headers(&mut map);
        assert_eq!(map, headers(&[("accept", "e")]));
    }

    #[test]
    fn strips_credential_parameters_in_every_spelling() {
        assert_eq!(strip_query("key=a&alt=sse&%6bEy=b&API_key=c;Key=d&key"), Some("alt=sse".into()));
        assert_eq!(strip_query("key=a"), None);
        assert_eq!(strip_query("filter=a;b&c=d;key=x"), Some("filter=a;b&c=d".into()));
        assert_eq!(strip_query("keyword=a&monkey=b"), Some("keyword=a&monkey=b".into()));
    }

    #[test]
    fn strips_the_key_a_browser_offers_as_a_websocket_protocol() {
        let mut map =
            headers(&[("sec-websocket-protocol", "realtime, OpenAI-Insecure-API-Key.sk-1"), ("Sec-WebSocket-Protocol", "openai-beta.x")]);
        strip_headers(&mut map);
        assert_eq!(map["sec-websocket-protocol"], "realtime, openai-beta.x");
        let mut map = headers(&[("sec-websocket-protocol", "openai-insecure-api-key.sk-1")]);
        strip_headers(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn rehomes_the_clients_token_to_the_providers_header() {
        let sent = headers(&[("authorization", "bearer  sk-1 ")]);
        assert_eq!(passthrough(ProviderKind::Openai, &sent).unwrap(), "Bearer sk-1");
        assert_eq!(passthrough(ProviderKind::Anthropic, &sent).unwrap(), "sk-1");
        assert_eq!(passthrough(ProviderKind::Anthropic, &headers(&[("x-api-key", "sk-2")])).unwrap(), "sk-2");
    }

    #[test]
    fn refuses_passthrough_without_exactly_one_usable_token() {
        let missing = Err(Reason::ClientTokenMissing);
        assert_eq!(passthrough(ProviderKind::Openai, &headers(&[])), missing);
        assert_eq!(passthrough(ProviderKind::Openai, &headers(&[("x-api-key", "sk")])), missing);
        for bad in ["Bearer", "Bearer ", "Basic dXNlcg==", "sk-raw", "Bearer a b", ""] {
            assert_eq!(passthrough(ProviderKind::Openai, &headers(&[("authorization", bad)])), missing, "{bad:?}");
        }
        let two = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(passthrough(ProviderKind::Openai, &two), Err(Reason::ClientTokenAmbiguous));
    }

    #[test]
    fn marks_the_credential_sensitive_so_that_debug_hides_it() {
        let value = header_value(ProviderKind::Openai, &Token::new("sk-canary")).unwrap();
        assert!(!format!("{value:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn no_token_that_could_split_a_header_is_accepted(token in "\\PC{0,8}[\r\n\0 \u{e9}]\\PC{0,8}") {
            prop_assert!(header_value(ProviderKind::Openai, &Token::new(token)).is_err());
        }

        #[test]
        fn stripping_a_query_leaves_no_credential_and_everything_else(names in proptest::collection::vec("[a-z]{1,5}|key|KEY|api_key", 0..8)) {
            let query = names.iter().map(|name| format!("{name}=v")).collect::<Vec<_>>().join("&");
            let kept = strip_query(&query).unwrap_or_default();
            let expected: Vec<_> = names.iter().filter(|n| !["key", "api_key", "apikey"].contains(&&*n.to_lowercase())).collect();
            prop_assert_eq!(kept.split('&').filter(|p| !p.is_empty()).count(), expected.len());
        }
    }
}

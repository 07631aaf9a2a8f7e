//! Hop-by-hop hygiene (RFC 9110 section 7.6.1) and the parts of a request's head that routing needs checked first.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Uri, Version, request};
use policy::Reason;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A name has at most 253 characters, and a port five.
const LONGEST_HOST: usize = 260;

/// Checks what could be read in two ways, settles on one `Host`, and leaves an origin-form target.
pub(crate) fn settle_host(head: &mut request::Parts) -> Result<(), Reason> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Reason::BadRequest);
    }
    match (head.uri.authority(), first) {
        // "the Host field … MUST be ignored" when the target is in absolute form (RFC 9112 section 3.2.2); same for :authority.
        (Some(authority), _) if is_host(authority.as_str().as_bytes()) => {
            let value = HeaderValue::from_str(authority.as_str()).map_err(|_| Reason::BadRequest)?;
            head.headers.insert(HOST, value);
            head.uri = head.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
            Ok(())
        }
        (None, Some(host)) if is_host(host.as_bytes()) => Ok(()),
        (None, None) if head.version == Version::HTTP_10 => {
            head.headers.insert(HOST, HeaderValue::from_static(""));
            Ok(())
        }
        (Some(_), _) | (None, _) => Err(Reason::BadRequest),
    }
}

fn is_host(host: &[u8]) -> bool {
    let sound = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]~".contains(b);
    (1..=LONGEST_HOST).contains(&host.len()) && host.iter().all(sound)
}

/// A message with both lengths is a smuggling attempt or a broken client. hyper has dropped the length by now; `seen` says it was there.
pub(crate) fn check_framing(headers: &HeaderMap, seen: bool) -> Result<(), Reason> {
    match seen && headers.contains_key(TRANSFER_ENCODING) {
        true => Err(Reason::AmbiguousLength),
        false => Ok(()),
    }
}

/// Whether the client asks to speak WebSocket. No other protocol is passed on: after `h2c`, say, a backend would take requests that
/// nobody has decided about.
pub(crate) fn wants_upgrade(head: &request::Parts) -> bool {
    let Some(protocol) = head.headers.get(UPGRADE) else { return false };
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
        && head.version == Version::HTTP_11
        && head.method == Method::GET
        && tokens(&head.headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Removes what concerns only one hop. With `upgrade`, the request to switch protocols is passed on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    let trailers = headers.contains_key(TE) && tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    if headers.contains_key(CONNECTION) {
        strip_listed(headers);
    }
    let protocol = headers.remove(UPGRADE).filter(|_| upgrade);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS, EXPECT, TE] {
        headers.remove(name);
    }
    // A length beside an encoding is not the message's (RFC 9112 section 6.3): it must not become one on the next hop.
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Removes `Connection` and the headers it names. `Host` stays whatever a client lists: routing looks at it.
fn strip_listed(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = tokens(headers, &CONNECTION).filter_map(|token| HeaderName::try_from(token).ok()).collect();
    headers.remove(CONNECTION);
    for name in listed.into_iter().filter(|name| ![HOST, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)) {
        headers.remove(name);
    }
}

fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn takes_the_authority_of_an_absolute_target_over_the_host_header() {
        let mut sent = head("http://a.example/x", &[("host", "b.example")]);
        assert_eq!(settle_host(&mut sent), Ok(()));
        assert_eq!((sent.headers[HOST].as_bytes(), sent.uri.to_string().as_str()), (&b"a.example"[..], "/x"));
    }

    #[test]
    fn refuses_no_host_two_hosts_and_odd_hosts() {
        for headers in
            [&[][..], &[("host", "a"), ("host", "b")], &[("host", "a/b")], &[("host", "user@a")], &[("host", "a,b")], &[("host", "")]]
        {
            assert_eq!(settle_host(&mut head("/", headers)), Err(Reason::BadRequest), "{headers:?}");
        }
        assert_eq!(settle_host(&mut head("http://user@a/", &[])), Err(Reason::BadRequest));
    }

    #[test]
    fn removes_hop_by_hop_headers_and_those_that_connection_names() {
        let sent = [("connection", "close, X-Hop, host"), ("x-hop", "1"), ("keep-alive", "5"), ("te", "gzip"), ("host", "a"), ("x", "y")];
        let mut sent = head("/", &sent).headers;
        strip_hop_by_hop(&mut sent, false);
        assert_eq!(sent, head("/", &[("host", "a"), ("x", "y")]).headers);
    }

    #[test]
    fn keeps_no_length_beside_an_encoding() {
        let mut sent = head("/", &[("transfer-encoding", "chunked"), ("content-length", "5"), ("te", "trailers, deflate")]).headers;
        strip_hop_by_hop(&mut sent, false);
        assert_eq!(sent, head("/", &[("te", "trailers")]).headers);
    }

    #[test]
    fn upgrades_to_websocket_only() {
        for (protocol, expected) in [("WebSocket", true), ("h2c", false), ("websocket, h2c", false)] {
            assert_eq!(
                wants_upgrade(&head("/", &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", protocol)])),
                expected,
                "{protocol}"
            );
        }
        let mut sent = head("/", &[("http2-settings", "x"), ("upgrade", "h2c")]).headers;
        strip_hop_by_hop(&mut sent, false);
        assert!(sent.is_empty());
    }

    #[test]
    fn passes_an_upgrade_on_only_when_asked() {
        let sent = head("/", &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert!(wants_upgrade(&sent));
        let (mut with, mut without) = (sent.headers.clone(), sent.headers);
        strip_hop_by_hop(&mut with, true);
        strip_hop_by_hop(&mut without, false);
        assert_eq!((with[CONNECTION].as_bytes(), with[UPGRADE].as_bytes()), (&b"upgrade"[..], &b"websocket"[..]));
        assert!(without.is_empty());
    }
}

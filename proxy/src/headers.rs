//! Hop-by-hop hygiene (RFC 9110 section 7.6.1) and the parts of a request's head that routing needs checked first.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Version, request};
use policy::Reason;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Checks what could be read in two ways, and settles on one `Host`.
pub(crate) fn settle_host(head: &mut request::Parts) -> Result<(), Reason> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Reason::BadRequest);
    }
    match head.uri.authority() {
        // "the Host field … MUST be ignored" when the target is in absolute form (RFC 9112 section 3.2.2); same for :authority.
        Some(authority) => {
            let host = authority.as_str();
            if host.contains('@') {
                return Err(Reason::BadRequest);
            }
            let value = HeaderValue::from_str(host).map_err(|_| Reason::BadRequest)?;
            head.headers.insert(HOST, value);
            Ok(())
        }
        None => match first {
            Some(host) if host.as_bytes().iter().all(|b| b.is_ascii_graphic() && !b"/@?#\\".contains(b)) => Ok(()),
            None if head.version == Version::HTTP_10 => {
                head.headers.insert(HOST, HeaderValue::from_static(""));
                Ok(())
            }
            Some(_) | None => Err(Reason::BadRequest),
        },
    }
}

/// A message with both lengths is a smuggling attempt or a broken client.
pub(crate) fn check_framing(headers: &HeaderMap) -> Result<(), Reason> {
    match headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        true => Err(Reason::AmbiguousLength),
        false => Ok(()),
    }
}

/// Whether the client asks for another protocol on this connection.
pub(crate) fn wants_upgrade(head: &request::Parts) -> bool {
    head.version == Version::HTTP_11 && head.headers.contains_key(UPGRADE) && lists(&head.headers, "upgrade")
}

/// Removes what concerns only one hop. With `upgrade`, the request to switch protocols is passed on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    if headers.contains_key(CONNECTION) {
        strip_listed(headers);
    }
    let protocol = headers.remove(UPGRADE).filter(|_| upgrade);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(EXPECT);
    if let Some(te) = headers.remove(TE).filter(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        headers.insert(TE, te);
    }
}

/// Removes `Connection` and the headers it names. `Host` stays whatever a client lists: routing has looked at it.
fn strip_listed(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = tokens(headers).filter_map(|token| HeaderName::try_from(token).ok()).collect();
    headers.remove(CONNECTION);
    for name in listed.into_iter().filter(|name| ![HOST, UPGRADE, TE].contains(name)) {
        headers.remove(name);
    }
}

fn lists(headers: &HeaderMap, wanted: &str) -> bool {
    tokens(headers).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
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
        assert_eq!(sent.headers[HOST], "a.example");
    }

    #[test]
    fn refuses_no_host_two_hosts_and_odd_hosts() {
        for headers in [&[][..], &[("host", "a"), ("host", "b")], &[("host", "a/b")], &[("host", "user@a")], &[("host", "a b")]] {
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

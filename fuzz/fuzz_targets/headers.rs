//! Any head may come in. Settling on a host leaves exactly one sound `Host` and an origin-form target, or refuses; stripping leaves
//! nothing that concerns one hop only, touches nothing else, and changes nothing when done again. Nothing panics.
#![no_main]

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Version, request};
use input::head::{Received, read};
use libfuzzer_sys::fuzz_target;
use policy::{Reason, check_path};
use proxy::fuzzing::{settle_host, strip_hop_by_hop, wants_upgrade};

/// Of one hop only, whatever `Connection` says (RFC 9110 section 7.6.1).
const ONE_HOP: [&str; 5] = ["keep-alive", "proxy-connection", "http2-settings", "expect", "transfer-encoding"];

fuzz_target!(|text: &[u8]| judge(text));

fn judge(text: &[u8]) {
    let Some(Received { mut head, .. }) = read(text) else { return };
    let upgrade = wants_upgrade(&head);
    assert!(!upgrade || (head.version == Version::HTTP_11 && head.method == Method::GET), "an upgrade that nobody may ask for");
    match settle_host(&mut head) {
        Ok(()) => is_settled(&head),
        Err(reason) => assert_eq!(reason, Reason::BadRequest),
    }
    for upgrade in [false, upgrade] {
        let mut left = head.headers.clone();
        strip_hop_by_hop(&mut left, upgrade);
        is_stripped(&head.headers, &left, upgrade);
        is_final(&left, upgrade);
    }
}

fn is_settled(head: &request::Parts) {
    let hosts = values(&head.headers, &HOST);
    assert_eq!(hosts.len(), 1, "{hosts:?}");
    let host = hosts[0];
    assert!(!host.is_empty() || head.version == Version::HTTP_10, "no host");
    assert!(host.iter().all(|byte| byte.is_ascii_graphic() && !b"/@?#\\%,\"<>".contains(byte)), "{host:?}");
    assert!(head.uri.authority().is_none() && head.uri.scheme().is_none(), "{:?}", head.uri);
    // `http://host#fragment` leaves an empty path, which no decision lets through.
    let path = head.uri.path();
    assert!(path.starts_with('/') || path == "*" || check_path(path).is_err(), "{:?}", head.uri);
}

fn is_stripped(received: &HeaderMap, left: &HeaderMap, upgrade: bool) {
    assert!(ONE_HOP.iter().all(|name| !left.contains_key(*name)), "{left:?}");
    assert!(matches!(values(left, &TE)[..], [] | [b"trailers"]), "{left:?}");
    let passed_on = upgrade && received.contains_key(UPGRADE);
    assert_eq!(values(left, &CONNECTION), if passed_on { vec![&b"upgrade"[..]] } else { vec![] });
    assert_eq!(values(left, &UPGRADE).len(), usize::from(passed_on));
    let listed = listed(received);
    for name in received.keys().filter(|name| !is_special(name)) {
        let expected = if listed.contains(name) { vec![] } else { values(received, name) };
        assert_eq!(values(left, name), expected, "{name}");
    }
    let length = if received.contains_key(TRANSFER_ENCODING) { vec![] } else { values(received, &CONTENT_LENGTH) };
    assert_eq!(values(left, &CONTENT_LENGTH), length, "a length beside an encoding");
    assert_eq!(values(left, &HOST), values(received, &HOST), "the host that routing looks at");
}

fn is_final(left: &HeaderMap, upgrade: bool) {
    let mut again = left.clone();
    strip_hop_by_hop(&mut again, upgrade);
    assert_eq!(&again, left);
}

/// Those with rules of their own.
fn is_special(name: &HeaderName) -> bool {
    [HOST, CONNECTION, UPGRADE, TE, CONTENT_LENGTH].contains(name) || ONE_HOP.contains(&name.as_str())
}

/// What `Connection` names.
fn listed(headers: &HeaderMap) -> Vec<HeaderName> {
    let readable = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    readable.flat_map(|value| value.split(',')).filter_map(|token| HeaderName::try_from(token.trim()).ok()).collect()
}

fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<&'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

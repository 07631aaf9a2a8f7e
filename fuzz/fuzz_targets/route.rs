//! Any request may come in, and meets every kind of match, filter and backend. Deciding and applying never panic. To a provider goes one
//! credential, the right one: in its header, marked so that no log shows it, and none in the query or among WebSocket protocols. The
//! gateway's own goes nowhere else. A backend without a usable credential gets nothing, and nothing is made of a refusal.
#![no_main]

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, SEC_WEBSOCKET_PROTOCOL, TRAILER};
use http::{Uri, request};
use input::head::{Received, read};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use policy::{
    CREDENTIAL_HEADERS, Decision, Head, Hostname, ListenerTable, Permit, Permitted, Reason, Refusal, Reply, Table, Target, Upstream,
    decide, normalize_host, wire,
};
use proxy::fuzzing::{settle_host, strip_hop_by_hop, wants_upgrade};

/// The token that only providers get.
const OWN: &str = "sk-gateway";
/// How providers name a key in a query. Written out again, so that a name lost in `policy` is found missing.
const KEYS: [&str; 9] =
    ["key", "api_key", "api-key", "apikey", "access_token", "oauth_token", "bearer_token", "subscription-key", "x-goog-api-key"];

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let config = wire::decode(&include_bytes!("route.jsonl")[..]).expect("the configuration can be read");
    let table = Table::compile(&config).expect("the configuration compiles");
    assert!(table.problems().is_empty(), "{:?}", table.problems());
    table
});

fuzz_target!(|text: &[u8]| judge(text));

/// A request after what the proxy does before it decides.
struct Asked {
    head: request::Parts,
    host: String,
    draw: u64,
    /// Whether the fuzzer has guessed the token by now.
    knows_own: bool,
}

fn judge(text: &[u8]) {
    let Some(asked) = asked(text) else { return };
    for (at, port) in TABLE.ports() {
        let Some(listener) = port.listener(&asked.host) else { continue };
        let origin = (if listener.protocol.terminates_tls() { "https" } else { "http" }, at.number);
        match decided(listener, &asked, origin) {
            Decision::Forward(permit) => is_forwarded(&asked, &permit),
            Decision::Reply(reply) => is_answered(&asked, &reply),
            Decision::Refuse(refusal) => is_refused(listener, &asked, origin, refusal),
        }
    }
}

fn asked(text: &[u8]) -> Option<Asked> {
    let Received { mut head, draw } = read(text)?;
    let upgrade = wants_upgrade(&head);
    settle_host(&mut head).ok()?;
    strip_hop_by_hop(&mut head.headers, upgrade);
    let host = normalize_host(head.headers.get(HOST)?.to_str().ok()?).into_owned();
    Some(Asked { head, host, draw, knows_own: contains(text, OWN) })
}

fn decided(listener: &ListenerTable, asked: &Asked, origin: (&str, u16)) -> Decision {
    let Asked { head, host, draw, .. } = asked;
    let seen = Head { host, method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    decide(listener, &seen, origin, *draw)
}

fn is_forwarded(asked: &Asked, permit: &Permit) {
    let to_provider = permit.backend().is_some_and(|backend| matches!(backend.target, Target::Provider(_)));
    for mirroring in permit.mirrors(&asked.head) {
        is_sent(asked, mirroring.into_permitted(), to_provider);
    }
    match permit.apply(asked.head.clone()) {
        Ok(permitted) => is_sent(asked, permitted, false),
        Err(refusal) => assert_eq!(refusal.reason, Reason::BadRequest),
    }
    permit.respond(&mut asked.head.headers.clone());
}

/// `bare`: a copy of what goes to a provider, where even the client's own credentials are none of a Service's business.
fn is_sent(asked: &Asked, permitted: Permitted, bare: bool) {
    let (head, backend) = permitted.into_parts();
    assert!(!backend.name.starts_with("closed"), "sent to {} without a credential", backend.name);
    assert!(head.uri.authority().is_none(), "{:?}", head.uri);
    assert_eq!(head.headers.get_all(HOST).iter().count(), 1);
    match &backend.target {
        Target::Provider(upstream) => {
            has_its_credential(asked, &head, upstream);
            has_no_key_elsewhere(&head);
            assert_eq!(head.headers[HOST], upstream.origin.hostname);
            assert!(!head.headers.contains_key(TRAILER), "trailers could carry a credential");
        }
        Target::Service { endpoints, .. } => {
            assert!(!endpoints.is_empty());
            assert!(asked.knows_own || !shows_own(&head.headers), "{} got the gateway's token", backend.name);
            if bare {
                assert_eq!(credentials(&head.headers), vec![]);
                has_no_key_elsewhere(&head);
            }
        }
    }
}

fn has_its_credential(asked: &Asked, head: &request::Parts, upstream: &Upstream) {
    let kind = upstream.kind;
    let [(name, value)] = credentials(&head.headers)[..] else { panic!("not one credential: {:?}", head.headers) };
    assert_eq!(*name, kind.credential_header());
    assert!(value.is_sensitive(), "a log would show it");
    let token = value.to_str().ok().and_then(|value| value.strip_prefix(kind.scheme())).expect("the scheme, then a token");
    assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
    match upstream.owns_credential() {
        true => assert_eq!(token, OWN),
        false => assert!(credentials(&asked.head.headers).iter().any(|(_, sent)| contains(sent.as_bytes(), token)), "not the client's"),
    }
}

fn has_no_key_elsewhere(head: &request::Parts) {
    for pair in head.uri.query().unwrap_or_default().split(['&', ';']) {
        let name = percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy().to_ascii_lowercase();
        assert!(!KEYS.contains(&&*name), "{:?}", head.uri);
    }
    for offered in head.headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let offered = String::from_utf8_lossy(offered.as_bytes()).to_ascii_lowercase();
        assert!(offered.split(',').all(|protocol| !protocol.trim().starts_with("openai-insecure-api-key.")), "{offered}");
    }
}

fn is_answered(asked: &Asked, reply: &Reply) {
    assert_eq!(credentials(&reply.headers), vec![]);
    assert!(asked.knows_own || !shows_own(&reply.headers));
    assert!(reply.status.is_redirection() || reply.status.is_success(), "{}", reply.status);
    if reply.status.is_redirection() && is_name_or_address(&asked.host) {
        let location = reply.headers.get(LOCATION).expect("a redirect says where to");
        let target = Uri::try_from(location.as_bytes()).expect("a redirect names a target");
        assert!(target.scheme().is_some() && target.host().is_some_and(|host| !host.is_empty()), "{location:?}");
    }
}

fn is_refused(listener: &ListenerTable, asked: &Asked, origin: (&str, u16), refusal: Refusal) {
    let status = refusal.reason.status();
    assert!(status.is_client_error() || status.is_server_error(), "{status}");
    assert!(matches!(decided(listener, asked, origin), Decision::Refuse(again) if again == refusal), "refused, but not always");
}

/// What any client may call us.
fn is_name_or_address(host: &str) -> bool {
    Hostname::parse(host).is_ok_and(|name| name.wildcard_suffix().is_none()) || host.parse::<Ipv6Addr>().is_ok()
}

fn credentials(headers: &HeaderMap) -> Vec<(&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, _)| CREDENTIAL_HEADERS.contains(name)).collect()
}

fn shows_own(headers: &HeaderMap) -> bool {
    headers.values().any(|value| contains(value.as_bytes(), OWN))
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

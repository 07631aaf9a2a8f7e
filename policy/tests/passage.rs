//! Connections and flows: which listener and which route they meet, and where they go.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};
use policy::config::{
    AppProtocol, Attachment, Backend, BackendRef, BackendTls, Credential, Endpoints, HostPair, Listener, Match, Protocol, Provider,
    ProviderPaths, RouteKey, Rule, TrustedRoots,
};
use policy::{Config, Decision, Family, Head, Hostname, Port, ProviderKind, Reason, Table, decide, pass};

fn hostname(text: &str) -> Option<Hostname> {
    (!text.is_empty()).then(|| Hostname::parse(text).unwrap())
}

fn listen(config: &mut Config, name: &str, port: u16, protocol: Protocol, host: &str) {
    let listener = Listener { port, protocol, hostname: hostname(host), certificates: Vec::new(), client_auth: None };
    config.listeners.insert(name.into(), Arc::new(listener));
}

fn backend(config: &mut Config, name: &str, addresses: &[&str]) {
    backend_of(config, name, addresses, None);
}

fn backend_of(config: &mut Config, name: &str, addresses: &[&str], tls: Option<Result<Arc<BackendTls>, Reason>>) {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    config.endpoints.insert(name.into(), Arc::new(Endpoints { addresses }));
    config.backends.insert(name.into(), Arc::new(Backend::Service { endpoints: name.into(), protocol: AppProtocol::Http1, tls }));
}

/// A rule of the route of that name on a listener, for `(host, original)`.
fn route(name: &str, created: i64, listener: &str, hosts: &[(&str, &str)], backends: &[(u32, Result<&str, Reason>)]) -> Arc<Rule> {
    let hosts = hosts.iter().map(|(host, original)| HostPair { host: hostname(host), original: hostname(original) }).collect();
    let weighted = |(weight, backend): &(u32, Result<&str, Reason>)| BackendRef {
        weight: *weight,
        backend: backend.map(str::to_owned),
        filters: None,
    };
    Arc::new(Rule {
        route: RouteKey { kind: "TLSRoute".into(), namespace: "ns".into(), name: name.into() },
        created,
        attachments: vec![Attachment { listener: listener.into(), hosts }],
        matches: vec![Match::default()],
        backends: backends.iter().map(weighted).collect(),
        ..Rule::default()
    })
}

/// The backend of what comes in on a TCP port with that SNI; `None`: no listener has it.
fn passed(table: &Table, port: u16, name: &str) -> Option<Result<String, Reason>> {
    let listener = table.port(port)?.listener(name)?;
    Some(pass(listener, name, 0).map(|passage| passage.backend().to_owned()))
}

#[test]
fn finds_the_most_specific_listener_and_then_the_most_specific_route() {
    let mut config = Config::default();
    for name in ["a", "b", "c"] {
        backend(&mut config, name, &["10.0.0.1:443"]);
    }
    listen(&mut config, "ends", 443, Protocol::Tls, "ends.example.com");
    listen(&mut config, "wide", 443, Protocol::TlsPassthrough, "*.example.com");
    listen(&mut config, "web", 443, Protocol::Https, "web.example.com");
    config.rules.insert("1".into(), route("old", 1, "wide", &[("*.example.com", "*.com")], &[(1, Ok("a"))]));
    config.rules.insert("2".into(), route("new", 2, "wide", &[("*.example.com", "*.example.com")], &[(1, Ok("b"))]));
    config.rules.insert("3".into(), route("exact", 3, "wide", &[("x.example.com", "x.example.com")], &[(1, Ok("c"))]));
    let table = Table::compile(&config).unwrap();
    assert_eq!(table.port(443).unwrap().family, Family::Encrypted);
    assert_eq!(passed(&table, 443, "x.example.com"), Some(Ok("c".into())));
    // By the route's own hostname, whatever its age.
    assert_eq!(passed(&table, 443, "y.example.com"), Some(Ok("b".into())));
    // Never falls through to a wider listener.
    assert_eq!(passed(&table, 443, "ends.example.com"), Some(Err(Reason::NoRoute)));
    assert_eq!(passed(&table, 443, "other.org"), None);
    assert_eq!(passed(&table, 443, ""), None);
    let protocols = ["ends", "wide", "web"].map(|name| table.port(443).unwrap().listener(&format!("{name}.example.com")).unwrap().protocol);
    assert_eq!(protocols, [Protocol::Tls, Protocol::TlsPassthrough, Protocol::Https]);
}

#[test]
fn the_oldest_of_several_routes_has_a_port_and_numbers_of_tcp_and_udp_are_apart() {
    let mut config = Config::default();
    backend(&mut config, "a", &["10.0.0.1:53"]);
    backend(&mut config, "b", &["10.0.0.2:53"]);
    listen(&mut config, "tcp", 53, Protocol::Tcp, "");
    listen(&mut config, "udp", 53, Protocol::Udp, "");
    config.rules.insert("1".into(), route("a", 2, "tcp", &[("", "")], &[(1, Ok("a"))]));
    config.rules.insert("2".into(), route("z", 1, "tcp", &[("", "")], &[(1, Ok("b"))]));
    config.rules.insert("3".into(), route("z", 1, "udp", &[("", "")], &[(1, Ok("a"))]));
    let table = Table::compile(&config).unwrap();
    assert_eq!(table.ports().map(|(port, _)| port).collect::<Vec<_>>(), [Port::tcp(53), Port::udp(53)]);
    assert_eq!(passed(&table, 53, ""), Some(Ok("b".into())));
    let flow = pass(table.udp_port(53).unwrap().listener("").unwrap(), "", 0).unwrap();
    assert_eq!((flow.backend(), flow.endpoints()), ("a", &["10.0.0.1:53".parse::<SocketAddr>().unwrap()][..]));
    let text = (Port::tcp(53).to_string(), Port::udp(53).to_string());
    assert_eq!(text, ("53".to_owned(), "53/UDP".to_owned()));
}

#[test]
fn a_share_that_leads_nowhere_is_refused_in_its_share() {
    let mut config = Config::default();
    backend(&mut config, "a", &["10.0.0.1:1"]);
    backend(&mut config, "empty", &[]);
    let provider = Provider {
        kind: ProviderKind::Openai,
        host: "h".into(),
        port: 443,
        hostname: "h".into(),
        tls: true,
        credential: Credential::Passthrough,
        paths: ProviderPaths::default(),
        model: None,
        version: None,
    };
    config.backends.insert("provider".into(), Arc::new(Backend::Provider(provider)));
    listen(&mut config, "tcp", 1, Protocol::Tcp, "");
    listen(&mut config, "none", 2, Protocol::Tcp, "");
    let shares = [(1, Ok("a")), (1, Err(Reason::InvalidBackendRef)), (1, Ok("empty")), (1, Ok("provider")), (0, Ok("a"))];
    config.rules.insert("1".into(), route("r", 1, "tcp", &[("", "")], &shares));
    config.rules.insert("2".into(), route("n", 1, "none", &[("", "")], &[]));
    let table = Table::compile(&config).unwrap();
    let drawn = |port, draw| pass(table.port(port).unwrap().listener("").unwrap(), "", draw).map(|passage| passage.backend().to_owned());
    let expected = [Ok("a".to_owned()), Err(Reason::InvalidBackendRef), Err(Reason::NoEndpoints), Err(Reason::InvalidBackendRef)];
    assert_eq!([0, 1, 2, 3].map(|draw| drawn(1, draw)), expected);
    assert_eq!(drawn(2, 0), Err(Reason::NoBackends));
}

#[test]
fn a_request_never_meets_a_route_that_knows_none_nor_a_connection_one_that_does() {
    let mut config = Config::default();
    backend(&mut config, "a", &["10.0.0.1:1"]);
    listen(&mut config, "web", 443, Protocol::Https, "");
    listen(&mut config, "ends", 443, Protocol::Tls, "db.example.com");
    for listener in ["web", "ends"] {
        config.rules.insert(listener.into(), route(listener, 1, listener, &[("", "")], &[(1, Ok("a"))]));
    }
    let table = Table::compile(&config).unwrap();
    let headers = HeaderMap::new();
    let decided = |host| {
        let head = Head { host, method: &Method::GET, path: "/", query: None, headers: &headers };
        decide(table.port(443).unwrap().listener(host).unwrap(), &head, ("https", 443), 0)
    };
    assert!(matches!(decided("db.example.com"), Decision::Refuse(refusal) if refusal.reason == Reason::Misdirected));
    assert!(matches!(decided("other.org"), Decision::Forward(_)));
    assert_eq!(passed(&table, 443, "other.org"), Some(Err(Reason::NoRoute)));
    assert_eq!(passed(&table, 443, "db.example.com"), Some(Ok("a".into())));
}

#[test]
fn what_a_policy_covers_goes_out_verified_or_not_at_all_unless_the_client_encrypts_it() {
    let mut config = Config::default();
    let roots = TrustedRoots::System;
    let tls = BackendTls { sni: "a.example.com".into(), names: Vec::new(), roots, client_certificate: None };
    backend_of(&mut config, "verified", &["10.0.0.1:1"], Some(Ok(Arc::new(tls))));
    backend_of(&mut config, "broken", &["10.0.0.1:1"], Some(Err(Reason::InvalidBackendTls)));
    let listeners = [("tcp", 1, Protocol::Tcp), ("ends", 2, Protocol::Tls), ("through", 3, Protocol::TlsPassthrough)];
    for (name, port, protocol) in listeners {
        listen(&mut config, name, port, protocol, "");
        let shares = [(1, Ok("verified")), (1, Ok("broken"))];
        config.rules.insert(name.into(), route(name, 1, name, &[("", "")], &shares));
    }
    let table = Table::compile(&config).unwrap();
    let drawn = |port, draw| pass(table.port(port).unwrap().listener("").unwrap(), "", draw).map(|passage| passage.tls().is_some());
    for port in [1, 2] {
        assert_eq!([0, 1].map(|draw| drawn(port, draw)), [Ok(true), Err(Reason::InvalidBackendTls)]);
    }
    assert_eq!([0, 1].map(|draw| drawn(3, draw)), [Ok(false), Ok(false)]);
}

#[test]
fn what_cannot_be_told_apart_shares_no_port() {
    for (one, other) in [(Protocol::Tcp, Protocol::Http), (Protocol::Tcp, Protocol::Tls), (Protocol::Udp, Protocol::Udp)] {
        let mut config = Config::default();
        listen(&mut config, "a", 80, one, "");
        listen(&mut config, "b", 80, other, "");
        assert_eq!(Table::compile(&config).unwrap_err().resource, "listener b", "{one:?} {other:?}");
    }
}

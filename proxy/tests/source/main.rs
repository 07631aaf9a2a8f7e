//! The proxy at the other end of the configuration channel: what it asks, takes, refuses, and keeps when there is nobody to ask.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod plane;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use plane::{Authority, Plane, Proxy, Stream};
use policy::Token;
use policy::config::{
    Attachment, Backend, Credential, Filters, HostPair, Listener, Match, PathMatch, Protocol, Provider, ProviderPaths, Redirect, RouteKey,
    Rule, Secret,
};
use policy::wire::{Named, Resource, TYPE_URL};

/// A listener for every host on a port.
fn listener(name: &str, port: u16) -> Named {
    let listener = Listener { port, protocol: Protocol::Http, hostname: None, certificates: Vec::new(), client_auth: None };
    Named { name: name.to_owned(), resource: Resource::Listener(Arc::new(listener)) }
}

/// A rule that answers with a redirect to `to`: no backend is needed to see it.
fn rule(name: &str, path: &str, to: &str) -> Named {
    let redirect = Redirect { hostname: Some(to.to_owned()), status: 302, ..Redirect::default() };
    let rule = Rule {
        route: RouteKey { kind: "HTTPRoute".into(), namespace: "ns".into(), name: name.to_owned() },
        attachments: vec![Attachment { listener: "http".into(), hosts: vec![HostPair::default()] }],
        matches: vec![Match { path: PathMatch::Prefix(path.into()), ..Match::default() }],
        filters: Filters { redirect: Some(Box::new(redirect)), ..Filters::default() },
        ..Rule::default()
    };
    Named { name: name.to_owned(), resource: Resource::Rule(Arc::new(rule)) }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and, if any, what `location` says, or else the body.
fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("location: "));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), location.unwrap_or(body).to_owned())
}

fn target(port: u16, path: &str) -> String {
    get(([127, 0, 0, 1], port).into(), path).1
}

fn is_ready(proxy: &Proxy) -> bool {
    get(proxy.admin, "/readyz").0 == 200
}

/// A proxy with one listener and one rule, and its stream.
async fn configured(plane: &mut Plane, authority: &Authority, port: u16) -> (Proxy, Stream) {
    let proxy = Proxy::start(plane, authority);
    let mut stream = plane.stream().await;
    stream.request().await;
    stream.apply("1", &[listener("http", port), rule("a", "/a", "first.example")], &[]).await;
    (proxy, stream)
}

#[tokio::test]
async fn asks_for_everything_and_is_ready_with_the_first_response() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let proxy = Proxy::start(&plane, &authority);
    let mut stream = plane.stream().await;
    let request = stream.request().await;
    assert_eq!(stream.authorization, "Bearer token-1");
    assert_eq!((request.type_url.as_str(), request.resource_names_subscribe), (TYPE_URL, vec!["*".to_owned()]));
    assert_eq!((request.node.unwrap().id.as_str(), request.initial_resource_versions.len()), ("pod-1", 0));
    assert!(!is_ready(&proxy));
    stream.apply("1", &[rule("a", "/a", "first.example"), listener("http", port)], &[]).await;
    assert!(is_ready(&proxy));
    let port_addr = ([127, 0, 0, 1], port).into();
    assert_eq!(get(port_addr, "/a"), (302, format!("http://first.example:{port}/a")));
    let (_, metrics) = get(proxy.admin, "/metrics");
    assert!(metrics.contains("keyward_proxy_xds_connected 1\n"), "{metrics}");
    assert!(metrics.contains("keyward_proxy_xds_responses_total{result=\"ack\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn an_empty_response_configures_an_empty_proxy() {
    let authority = Authority::new();
    let mut plane = Plane::start(&authority).await;
    let proxy = Proxy::start(&plane, &authority);
    let mut stream = plane.stream().await;
    stream.request().await;
    stream.apply("1", &[], &[]).await;
    assert!(is_ready(&proxy));
}

#[tokio::test]
async fn a_delta_changes_what_it_names_and_nothing_else() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let (_proxy, mut stream) = configured(&mut plane, &authority, port).await;
    stream.apply("2", &[rule("b", "/b", "second.example")], &[]).await;
    assert!(target(port, "/a").contains("first.example") && target(port, "/b").contains("second.example"));
    stream.apply("3", &[rule("b", "/b", "third.example")], &["rule/a", "rule/never-was", "unknown/kind"]).await;
    assert!(target(port, "/b").contains("third.example"));
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/a").0, 404);
}

#[tokio::test]
async fn refuses_a_conflict_whole_and_serves_the_last_good_state() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let (proxy, mut stream) = configured(&mut plane, &authority, port).await;
    let answer = stream.change("2", &[listener("zz", port), rule("a", "/a", "lost.example")], &[]).await;
    let problem = answer.error_detail.expect("a refusal").message;
    assert!(problem.contains("listener zz") && !problem.contains("lost.example"), "{problem}");
    assert!(target(port, "/a").contains("first.example"));
    assert!(is_ready(&proxy));
    stream.apply("3", &[rule("a", "/a", "later.example")], &[]).await;
    assert!(target(port, "/a").contains("later.example"));
}

#[tokio::test]
async fn serves_the_rest_when_a_port_is_taken_and_takes_it_once_it_is_free() {
    let authority = Authority::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut plane = Plane::start(&authority).await;
    let (proxy, mut stream) = configured(&mut plane, &authority, port).await;
    assert!(get(proxy.admin, "/metrics").1.contains("keyward_proxy_config_unserved{kind=\"port\"} 1\n"));
    drop(taken);
    stream.apply("2", &[], &[]).await;
    assert!(target(port, "/a").contains("first.example"));
}

#[tokio::test]
async fn comes_back_with_what_it_has_and_the_token_of_the_day() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let (proxy, stream) = configured(&mut plane, &authority, port).await;
    proxy.write("token", "token-2");
    drop(stream);
    let mut stream = plane.stream().await;
    let request = stream.request().await;
    assert_eq!(stream.authorization, "Bearer token-2");
    let mut held: Vec<_> = request.initial_resource_versions.into_iter().collect();
    held.sort();
    assert_eq!(held.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["listener/http", "rule/a"]);
    assert!(held.iter().all(|(_, version)| version.len() == 16), "{held:?}");
    assert!(target(port, "/a").contains("first.example") && is_ready(&proxy));
    stream.apply("1", &[], &["rule/a"]).await;
    drop(stream);
    let held = plane.stream().await.request().await.initial_resource_versions;
    assert_eq!(held.into_keys().collect::<Vec<_>>(), ["listener/http"]);
}

#[tokio::test]
async fn sends_no_token_to_whom_it_cannot_verify() {
    let (ours, other) = (Authority::new(), Authority::new());
    let mut plane = Plane::start(&other).await;
    let proxy = Proxy::start(&plane, &ours);
    while plane.handshakes_failed() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(plane.has_no_stream() && !is_ready(&proxy));
    // The authority was rotated: the file says so, and is read again.
    proxy.write("ca.crt", &other.pem);
    assert_eq!(plane.stream().await.authorization, "Bearer token-1");
}

#[tokio::test]
async fn takes_thousands_of_rules_in_one_message() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let proxy = Proxy::start(&plane, &authority);
    let mut stream = plane.stream().await;
    stream.request().await;
    let long = "x".repeat(1000);
    let rules = (0..5000).map(|nth| rule(&format!("r{nth}"), &format!("/r{nth}/{long}"), &format!("r{nth}.example")));
    let all: Vec<_> = rules.chain([listener("http", port)]).collect();
    stream.apply("1", &all, &[]).await;
    assert!(is_ready(&proxy));
    assert!(target(port, &format!("/r4321/{long}/x")).contains("r4321.example"));
}

#[tokio::test]
async fn shows_its_configuration_without_a_token() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let (proxy, mut stream) = configured(&mut plane, &authority, port).await;
    let provider = Provider {
        kind: policy::ProviderKind::Openai,
        host: "api.example.com".into(),
        port: 443,
        hostname: "api.example.com".into(),
        tls: true,
        credential: Credential::Secret("s".into()),
        paths: ProviderPaths::default(),
        model: None,
        version: None,
    };
    let secret = Named { name: "s".into(), resource: Resource::Secret(Arc::new(Secret::Token(Token::new("sk-canary")))) };
    let backend = Named { name: "ai".into(), resource: Resource::Backend(Arc::new(Backend::Provider(provider))) };
    stream.apply("2", &[backend, secret], &[]).await;
    let (status, dump) = get(proxy.admin, "/config_dump");
    assert_eq!(status, 200);
    assert!(dump.contains("sha256:") && dump.contains("first.example") && !dump.contains("canary"), "{dump}");
    assert!(get(proxy.admin, "/metrics").1.contains("keyward_credential_age_seconds{backend=\"ai\"}"));
}

#[tokio::test]
async fn an_answer_on_a_closing_port_says_that_it_is_the_last() {
    let (authority, port) = (Authority::new(), free_port());
    let mut plane = Plane::start(&authority).await;
    let (_proxy, mut stream) = configured(&mut plane, &authority, port).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let ask = |client: &mut TcpStream| {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let read = client.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    };
    assert!(!ask(&mut client).contains("connection: close"));
    stream.apply("2", &[], &["listener/http"]).await;
    // The listener is gone, but the connection is not yet: a request that was on its way gets an answer, and a goodbye.
    let answer = ask(&mut client);
    assert!(answer.contains("404") && answer.contains("connection: close"), "{answer}");
    client.read_to_end(&mut Vec::new()).expect("the connection ends");
}

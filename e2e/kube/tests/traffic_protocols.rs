//! Protocols that differ on both sides of a proxy, and streams that outlive changes.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Connection, Echo, EchoBackend, Echoed, Http2, Payload, Request, send};
use keyward_e2e_kube::manifests::{gateway_with, route_with};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, Speaks, wait_until};

mod talk;

use talk::Talk;

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";
const CHANGES: u32 = 10;
const WORDS: &str = "words in a body";
/// Hosts tell the kinds of routes apart: one host may not have both.
const STREAMS: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: socket}
spec:
  parentRefs: [{name: gw}]
  hostnames: [socket.test]
  rules: [{backendRefs: [{name: socket, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: talk}
spec:
  parentRefs: [{name: gw}]
  hostnames: [gateway.test]
  rules: [{backendRefs: [{name: talk, port: 80}]}]
---
";
const OTHER: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other}
spec:
  parentRefs: [{name: gw}]
  hostnames: [other.test]
  rules: [{backendRefs: [{name: talk, port: 80}]}]
---
";

fn rule(path: &str, backend: &str) -> String {
    format!("{{matches: [{{path: {{type: PathPrefix, value: {path}}}}}], backendRefs: [{{name: {backend}, port: 80}}]}}")
}

fn answers(address: SocketAddr, request: &Request, status: u16) -> Result<()> {
    wait_until(&format!("the answer is {status}"), SOON, || {
        let answer = send(address, request)?;
        ensure!(answer.status == status, "{} {}", answer.status, answer.text());
        Ok(())
    })
}

/// What the backend says of a request in HTTP/2.
fn in_http2(client: &Http2, target: &str) -> Result<Echoed> {
    let answer = client.send(Http2::request("POST", target).body(Payload::whole(WORDS))?)?;
    ensure!(answer.status == 200, "{answer:?}");
    Echoed::read(&answer.body)
}

/// What the backend says of a request in HTTP/1.1.
fn in_http1(address: SocketAddr, target: &str) -> Result<Echoed> {
    let answer = send(address, &Request::post(target, WORDS))?;
    ensure!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
    Echoed::read(&answer.body)
}

fn came_as(echoed: &Echoed, version: &str, target: &str) {
    let (length, expected) = (echoed.body_length(), WORDS.len() as u64);
    assert_eq!((echoed.version(), echoed.target(), echoed.host(), length), (version, target, "gateway.test", expected), "{echoed:?}");
}

#[test]
fn speaks_http2_to_http1_and_back() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "protocols")?;
    let echo = Echo::start_on(cluster.node_address()?, "backend")?;
    let services = [Speaks::Tcp.service("one", echo.addr()), Speaks::H2c.service("two", echo.addr())].concat();
    let route = route_with("both", "gw", &[rule("/one", "one"), rule("/two", "two")]);
    namespace.apply(&[gateway_with("gw", LISTENERS, None), services, route].concat())?;
    let address = namespace.address("gw")?;
    for path in ["/one", "/two"] {
        answers(address, &Request::get(path), 200)?;
    }
    let client = Http2::open(address)?;
    came_as(&in_http2(&client, "/one")?, "HTTP/1.1", "/one");
    came_as(&in_http2(&client, "/two")?, "HTTP/2.0", "/two");
    came_as(&in_http1(address, "/one")?, "HTTP/1.1", "/one");
    came_as(&in_http1(address, "/two")?, "HTTP/2.0", "/two");
    Ok(())
}

/// A connection that speaks WebSocket after its head; the backend sends every byte back.
fn open_socket(address: SocketAddr) -> Result<Connection> {
    let request = Request::get("/")
        .header("host", "socket.test")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut connection = Connection::open(address)?;
    connection.write(&request.to_bytes())?;
    let head = connection.read_head()?;
    ensure!(head.status == 101, "{head:?}");
    Ok(connection)
}

fn comes_back(socket: &mut Connection, word: &str) -> Result<()> {
    socket.write(word.as_bytes())?;
    let (back, open) = socket.read_up_to(word.len())?;
    ensure!(open && back == word.as_bytes(), "{word:?} came back as {:?}", String::from_utf8_lossy(&back));
    Ok(())
}

#[test]
fn streams_survive_an_unrelated_change() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "streams")?;
    let node = cluster.node_address()?;
    let (socket_backend, echo) = (EchoBackend::start_on(node)?, Echo::start_on(node, "talk")?);
    let services = [Speaks::Tcp.service("socket", socket_backend.addr()), Speaks::H2c.service("talk", echo.addr())].concat();
    namespace.apply(&[gateway_with("gw", LISTENERS, None), services, STREAMS.to_owned()].concat())?;
    let address = namespace.address("gw")?;
    let mut socket = wait_until("a WebSocket opens", SOON, || open_socket(address))?;
    let mut talk = wait_until("a gRPC stream opens", SOON, || Talk::open(address))?;
    let other = Request::get("/").header("host", "other.test");
    for nth in 0..CHANGES {
        namespace.apply(OTHER)?;
        answers(address, &other, 200)?;
        comes_back(&mut socket, &format!("route {nth} is there"))?;
        talk.say(&echo).with_context(|| format!("route {nth} is there"))?;
        namespace.delete(Kind::HTTP_ROUTE, "other")?;
        answers(address, &other, 404)?;
        comes_back(&mut socket, &format!("route {nth} is gone"))?;
        talk.say(&echo).with_context(|| format!("route {nth} is gone"))?;
    }
    let received = talk.end()?;
    assert_eq!(received.body_length(), u64::from(2 * CHANGES) * Talk::WORD);
    assert_eq!((received.version(), received.target()), ("HTTP/2.0", Talk::METHOD));
    assert_eq!(socket_backend.heads().len(), 1, "the WebSocket was opened again");
    Ok(())
}

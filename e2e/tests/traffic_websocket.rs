//! A WebSocket through to a Service, found by its EndpointSlice.

use keyward_e2e::{Connection, EchoBackend, Setup, gateway, route_with};

const UPGRADE: &str = "GET /ws?room=1 HTTP/1.1\r\n\
    Host: gateway.test\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn carries_a_websocket_both_ways() -> anyhow::Result<()> {
    let backend = EchoBackend::start()?;
    let rule = "{matches: [{path: {type: PathPrefix, value: /ws}}], backendRefs: [{name: echo, port: 80}]}";
    let manifests = gateway(&[8080]) + &backend.manifests("echo") + &route_with("ws", rule);
    let gateway = Setup::new().manifest("all.yaml", &manifests).start()?;

    let mut connection = Connection::open(gateway.addr())?;
    connection.write(UPGRADE.as_bytes())?;
    let head = connection.read_head()?;
    assert_eq!(head.status, 101, "{head:?}\n{:?}", backend.heads());
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));

    for size in [1, 125, 70_000] {
        let frame: Vec<u8> = (0_u8..=255).cycle().take(size).collect();
        connection.write(&frame)?;
        assert!(connection.read_up_to(size)? == (frame, true), "{size} bytes came back changed");
    }
    let heads = backend.heads();
    assert_eq!(heads.len(), 1);
    let head = heads.concat().to_ascii_lowercase();
    assert!(head.starts_with("get /ws?room=1 http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n"), "{head}");
    Ok(())
}

#[test]
fn answers_503_when_a_service_has_no_endpoint() -> anyhow::Result<()> {
    let service = "apiVersion: v1
kind: Service
metadata: {name: empty, namespace: gloo-system}
spec: {ports: [{name: http, port: 80}]}
---
";
    let rule = "{backendRefs: [{name: empty, port: 80}]}";
    let manifests = gateway(&[8080]) + service + &route_with("empty", rule);
    let gateway = Setup::new().manifest("all.yaml", &manifests).start()?;
    assert_eq!(gateway.send(&keyward_e2e::Request::get("/"))?.status, 503);
    Ok(())
}

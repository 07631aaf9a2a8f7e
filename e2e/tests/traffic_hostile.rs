//! What no honest client sends. Each is refused, nothing of it reaches the provider, and everything else goes on.

use std::time::Duration;

use keyward_e2e::{Connection, Gateway, Provider, Request, Response, Setup, eventually};

const KEY: &str = "sk-hostile-tests";
const CHAT: &str = r#"{"model":"m","messages":[]}"#;

fn start(provider: &Provider) -> anyhow::Result<Gateway> {
    Setup::new().sample("inline", KEY)?.provider(provider).start()
}

/// Sends bytes as they are; the answer, and whether the gateway closed the connection after it.
fn send_raw(gateway: &Gateway, bytes: &[u8]) -> anyhow::Result<(Response, Vec<u8>)> {
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(bytes)?;
    let response = connection.read_response()?;
    // Fails when the gateway keeps the connection open.
    let rest = connection.read_to_end()?;
    Ok((response, rest))
}

fn assert_refused_and_closed(status: u16, requests: &[Vec<u8>]) -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    for bytes in requests {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        let (answer, rest) = send_raw(&gateway, bytes)?;
        assert_eq!(answer.status, status, "{shown}");
        assert!(rest.is_empty(), "a second answer to\n{shown}\n{}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(provider.connections(), 0, "something of it reached the provider: {:#?}", provider.journal());
    assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200, "the gateway does not go on");
    Ok(())
}

/// A chat request with these header lines; what comes after its own end is a request to smuggle in.
fn framed(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /openai HTTP/1.1\r\nHost: gateway.test\r\ncontent-type: application/json\r\n{lines}\r\n\r\n{body}").into_bytes()
}

#[test]
fn refuses_conflicting_lengths_and_encodings_and_closes() -> anyhow::Result<()> {
    let chunked = format!("{:x}\r\n{CHAT}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", CHAT.len());
    let length = CHAT.len();
    assert_refused_and_closed(
        400,
        &[
            framed(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), &chunked),
            framed(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), &chunked),
            framed(&format!("Content-Length: {length}\r\nContent-Length: 3"), CHAT),
            framed(&format!("Content-Length: {length}, 3"), CHAT),
            framed(&format!("Content-Length: +{length}"), CHAT),
            framed("Content-Length: -1", CHAT),
            framed("Content-Length: 99999999999999999999999", CHAT),
            framed("Transfer-Encoding: xchunked", &chunked),
            framed("Transfer-Encoding: chunked, identity", &chunked),
            framed(&format!("Transfer-Encoding : chunked\r\nContent-Length: {length}"), &chunked),
        ],
    )
}

#[test]
fn refuses_bad_bytes_in_headers_and_closes() -> anyhow::Result<()> {
    let with = |line: &[u8]| [&b"GET /openai HTTP/1.1\r\nHost: gateway.test\r\n"[..], line, b"\r\n\r\n"].concat();
    assert_refused_and_closed(
        400,
        &[
            with(b"x-bad: a\x00b"),
            with(b"x-bad: a\x01b"),
            with(b"x-bad: a\rb"),
            with(b"x-b\xffad: a"),
            with(b"x bad: a"),
            with(b"x-bad : a"),
            with(b"no colon at all"),
            with(b": no name"),
            b"GET /open ai HTTP/1.1\r\nHost: gateway.test\r\n\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello on a plain port\r\n\r\n".to_vec(),
        ],
    )
}

#[test]
fn refuses_a_head_of_64_kib() -> anyhow::Result<()> {
    let large = Request::get("/openai").header("x-large", &"a".repeat(64 * 1024));
    let many = (0..2000)
        .fold(Request::get("/openai"), |request, index| request.header(&format!("x-many-{index}"), "0123456789012345678901234567890"));
    assert_refused_and_closed(431, &[large.to_bytes(), many.to_bytes()])
}

#[test]
fn asks_for_the_body_when_the_client_waits_to_be_asked() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(&framed(&format!("Expect: 100-continue\r\nContent-Length: {}", CHAT.len()), ""))?;
    assert_eq!(connection.read_head()?.status, 100);
    connection.write(CHAT.as_bytes())?;
    let answer = connection.read_response()?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(provider.only_request()?.body_complete);
    Ok(())
}

#[test]
fn goes_on_when_a_client_breaks_off_in_the_middle_of_its_body() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(&framed("Content-Length: 1000", "{\"model\":"))?;
    eventually("the request reaches the provider", Duration::from_secs(5), || Ok(!provider.journal().is_empty()))?;
    drop(connection);
    // Half a request must never look whole to the provider.
    eventually("the provider notices", Duration::from_secs(5), || Ok(provider.only_request()?.left_early))?;
    assert!(!provider.only_request()?.body_complete, "{:#?}", provider.journal());
    assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200);
    Ok(())
}

#[test]
fn keeps_two_requests_on_one_connection_apart() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    let request = Request::chat("/openai").to_bytes();
    connection.write(&[request.as_slice(), request.as_slice()].concat())?;
    assert_eq!(connection.read_response()?.status, 200);
    assert_eq!(connection.read_response()?.status, 200);
    assert_eq!(provider.journal().len(), 2);
    Ok(())
}

#[test]
fn sends_no_hop_by_hop_header_to_the_provider() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let request = Request::chat("/openai")
        .header("Connection", "keep-alive, X-Private")
        .header("X-Private", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "gzip");
    let answer = gateway.send(&request)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = provider.only_request()?;
    for name in ["connection", "x-private", "keep-alive", "proxy-connection", "te"] {
        assert!(received.header_values(name).is_empty(), "{name} reached the provider: {received:#?}");
    }
    Ok(())
}

#[test]
fn answers_404_where_no_route_leads() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    for target in ["/", "/openaix", "/v1/chat/completions"] {
        assert_eq!(gateway.send(&Request::chat(target))?.status, 404, "{target}");
    }
    assert_eq!(provider.connections(), 0);
    Ok(())
}

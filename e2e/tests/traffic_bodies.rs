//! Large bodies pass as they come, both ways: nothing is held back, nothing is collected, and whoever is slow slows the other side down.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::Frame;
use keyward_e2e::{Connection, Echo, Echoed, Gateway, Http2, Payload, Request, Setup, gateway, route_with};

const MIB: u64 = 1024 * 1024;
/// What streaming may cost the gateway, at most: a window of HTTP/2 on either side (hyper lets it grow to 16 MiB), where all of it is in
/// flight at once. Collecting a body would cost 64 MiB and more.
const STREAMING_COST: u64 = 32 * MIB;

fn start(echo: &Echo) -> anyhow::Result<Gateway> {
    let rule =
        |name: &str| format!("{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], backendRefs: [{{name: {name}, port: 80}}]}}");
    let services = echo.manifests("one") + &echo.manifests_h2c("two");
    let routes = route_with("one", &rule("one")) + &route_with("two", &rule("two"));
    let gateway = Setup::new().manifest("all.yaml", &(gateway(&[8080]) + &services + &routes)).log_filter("info").start()?;
    // What the first request costs is not what a body costs.
    assert_eq!(gateway.send(&Request::get("/one"))?.status, 200);
    assert_eq!(gateway.send(&Request::get("/two"))?.status, 200);
    Ok(gateway)
}

/// Bytes by which the most memory that the gateway ever held exceeds what it held at first.
fn growth(gateway: &Gateway, before: u64) -> anyhow::Result<u64> {
    Ok(gateway.memory("VmHWM")?.saturating_sub(before))
}

#[test]
fn streams_a_large_request_without_collecting_it() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let before = gateway.memory("VmRSS")?;
    let http2 = Http2::open(gateway.addr())?;
    for path in ["/one", "/two"] {
        let body = Payload::Repeated(vec![b'x'; 64 * 1024].into(), 1024);
        let answer = http2.send(Http2::request("POST", path).body(body)?)?;
        assert_eq!((answer.status, Echoed::read(&answer.body)?.body_length()), (200, 64 * MIB), "{path}");
    }
    let growth = growth(&gateway, before)?;
    assert!(growth < STREAMING_COST, "two bodies of 64 MiB cost {} KiB", growth / 1024);
    Ok(())
}

#[test]
fn streams_a_large_answer_without_collecting_it() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let before = gateway.memory("VmRSS")?;
    let http2 = Http2::open(gateway.addr())?;
    for path in ["/one", "/two"] {
        let mut answer = http2.begin(Http2::request("GET", path).header("x-echo-bytes", "67108864").body(Payload::empty())?)?;
        let received = http2.run(async {
            let mut received = 0;
            while let Some(frame) = answer.body_mut().frame().await {
                received += frame?.data_ref().map_or(0, |data| data.len() as u64);
            }
            anyhow::Ok(received)
        })?;
        assert_eq!(received, 64 * MIB, "{path}");
    }
    let growth = growth(&gateway, before)?;
    assert!(growth < STREAMING_COST, "two answers of 64 MiB cost {} KiB", growth / 1024);
    Ok(())
}

#[test]
fn lets_the_answer_begin_before_the_request_is_complete() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for path in ["/one", "/two"] {
        let (sender, body) = Payload::stream();
        let request = Http2::request("POST", path).header("x-echo-read", "later").body(body)?;
        http2.run(sender.send(Frame::data("first".into())))?;
        let mut answer = http2.begin(request)?;
        assert_eq!(answer.status(), 200);
        assert_eq!(http2.next_data(&mut answer)?, "early\n", "{path}");
        http2.run(sender.send(Frame::data("second".into())))?;
        drop(sender);
        let rest = http2.finish(answer)?;
        assert_eq!(Echoed::read(&rest.body)?.body_length(), 11, "{path}");
    }
    Ok(())
}

#[test]
fn lets_the_answer_begin_before_a_chunked_request_is_complete() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let mut connection = Connection::open(gateway.addr())?;
    let head = "POST /one HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\nx-echo-read: later\r\n\r\n";
    connection.write(format!("{head}5\r\nfirst\r\n").as_bytes())?;
    assert_eq!(connection.read_head()?.status, 200);
    assert_eq!(connection.read_chunk()?.context("no first chunk")?, b"early\n");
    connection.write(b"6\r\nsecond\r\n0\r\n\r\n")?;
    let told = connection.read_chunk()?.context("no second chunk")?;
    assert_eq!(Echoed::read(&told)?.body_length(), 11);
    assert_eq!(connection.read_chunk()?.context("no end")?, b"");
    Ok(())
}

/// More than all buffers of the system on the way can take: so much is never read ahead.
const ENDLESS: u64 = 1024 * MIB;
const FAR_TOO_MUCH: u64 = 256 * MIB;

#[test]
fn makes_a_client_wait_for_a_backend_that_does_not_read() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let before = gateway.memory("VmRSS")?;
    let mut stream = TcpStream::connect(gateway.addr())?;
    stream.set_write_timeout(Some(Duration::from_millis(700)))?;
    let head = format!("POST /one HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {ENDLESS}\r\nx-echo-read: hang\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < FAR_TOO_MUCH {
        match stream.write(&chunk) {
            Ok(count) => sent += count as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error).context("the gateway broke the request off"),
        }
    }
    assert!(sent < FAR_TOO_MUCH, "{sent} bytes went into the gateway, and the backend has read none");
    let growth = growth(&gateway, before)?;
    assert!(growth < STREAMING_COST, "a stalled request costs {} KiB", growth / 1024);
    assert_eq!(gateway.send(&Request::get("/one"))?.status, 200, "others go on");
    Ok(())
}

#[test]
fn makes_a_backend_wait_for_a_client_that_does_not_read() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let before = gateway.memory("VmRSS")?;
    let mut stream = TcpStream::connect(gateway.addr())?;
    stream.write_all(format!("GET /one HTTP/1.1\r\nHost: gateway.test\r\nx-echo-bytes: {ENDLESS}\r\n\r\n").as_bytes())?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    let mut sent = echo.body_sent();
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = echo.body_sent();
        assert!(now < FAR_TOO_MUCH, "{now} bytes went into the gateway, and the client has read one");
        if now == sent {
            break;
        }
        sent = now;
    }
    let growth = growth(&gateway, before)?;
    assert!(growth < STREAMING_COST, "a stalled answer costs {} KiB", growth / 1024);
    assert_eq!(gateway.send(&Request::get("/two"))?.status, 200, "others go on");
    Ok(())
}

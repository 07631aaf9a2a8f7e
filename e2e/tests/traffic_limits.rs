//! The edges of HTTP/1.1: heads that are too large or too slow, methods and targets of their own kind, framing that could be read in two
//! ways, on either side of the gateway. What is refused reaches no backend, and everything else goes on.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use keyward_e2e::{Canned, Connection, Echo, Echoed, Gateway, Http2, Payload, Request, Setup, gateway, route_with};

fn start(manifests: &str) -> anyhow::Result<Gateway> {
    setup(manifests).start()
}

fn setup(manifests: &str) -> Setup {
    let route = route_with("backend", "{backendRefs: [{name: backend, port: 80}]}");
    Setup::new().manifest("all.yaml", &(gateway(&[8080]) + manifests + &route))
}

/// Status of the answer to these bytes, and everything after that answer until the gateway closes the connection, as it must.
fn refusal(gateway: &Gateway, bytes: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(bytes)?;
    let status = connection.read_response()?.status;
    Ok((status, connection.read_to_end()?))
}

fn check_refused(echo: &Echo, status: u16, requests: &[String]) -> anyhow::Result<()> {
    let gateway = start(&echo.manifests("backend"))?;
    for request in requests {
        let shown = request.get(..200).unwrap_or(request);
        let (answered, rest) = refusal(&gateway, request.as_bytes()).with_context(|| shown.to_owned())?;
        ensure!(answered == status && rest.is_empty(), "{answered} and {} bytes for {shown}", rest.len());
    }
    ensure!(echo.connections() == 0, "something of it reached the backend: {:?}", echo.journal());
    ensure!(gateway.send(&Request::get("/"))?.status == 200, "the gateway does not go on");
    Ok(())
}

/// A request with these header lines.
fn with_lines(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n\r\n")
}

#[test]
fn takes_large_heads_up_to_a_limit() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    let value = "a".repeat(40 * 1024);
    let answer = gateway.send(&Request::get("/").header("x-large", &value))?;
    assert_eq!(answer.status, 200);
    assert_eq!(Echoed::read(&answer.body)?.header("x-large"), [value]);
    let many = (0..90).fold(Request::get("/"), |request, nth| request.header(&format!("x-{nth}"), "y"));
    let answer = gateway.send(&many)?;
    assert_eq!(Echoed::read(&answer.body)?.header("x-89"), ["y"], "{}", answer.status);
    let target = format!("/{}", "t".repeat(8 * 1024));
    assert_eq!(Echoed::read(&gateway.send(&Request::get(&target))?.body)?.target(), target);
    Ok(())
}

#[test]
fn refuses_heads_beyond_the_limit() -> anyhow::Result<()> {
    let lines: String = (0..500).map(|nth| format!("x-{nth}: y\r\n")).collect();
    check_refused(&Echo::start("echo")?, 431, &[with_lines(&format!("x-large: {}", "a".repeat(60 * 1024))), with_lines(lines.trim_end())])
}

#[test]
fn refuses_a_large_head_of_http2_and_keeps_the_connection() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    let http2 = Http2::open(gateway.addr())?;
    // The limit counts what is uncompressed (RFC 9113 section 6.5.2); on the wire it is about 35 KiB.
    let large = Http2::request("GET", "/").header("x-large", "a".repeat(56 * 1024)).body(Payload::empty())?;
    assert_eq!(http2.send(large)?.status, 431);
    assert_eq!(echo.connections(), 0);
    assert_eq!(http2.get("/")?.status, 200);
    Ok(())
}

/// The time until the gateway closes a connection on which these bytes came, and then one byte now and then; and what it said.
fn patience(gateway: &Gateway, bytes: &[u8], drip: &[u8]) -> anyhow::Result<(Duration, String)> {
    let start = Instant::now();
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(bytes)?;
    for byte in drip.chunks(1) {
        std::thread::sleep(Duration::from_millis(100));
        // After the gateway has closed, this goes nowhere.
        connection.write(byte)?;
    }
    let said = connection.read_to_end()?;
    Ok((start.elapsed(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn closes_on_a_client_that_sends_its_head_too_slowly() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = setup(&echo.manifests("backend")).arguments(&["--header-timeout", "1"]).start()?;
    let heads: [(&[u8], &[u8]); 4] =
        [(b"", b""), (b"G", b""), (b"GET / HTTP/1.1\r\nHost: gateway.test\r\n", b"x-slow: aaaaaaa"), (b"PRI * HTTP/2.0\r\n", b"")];
    for (bytes, drip) in heads {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let (elapsed, said) = patience(&gateway, bytes, drip)?;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{shown:?}: {said}");
        assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&elapsed), "{shown:?}: closed after {elapsed:?}");
    }
    assert_eq!((echo.connections(), gateway.send(&Request::get("/"))?.status), (0, 200));
    Ok(())
}

#[test]
fn closes_a_connection_that_is_idle_after_a_request_but_waits_for_a_slow_answer() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = setup(&echo.manifests("backend")).arguments(&["--header-timeout", "1"]).start()?;
    let mut connection = Connection::open(gateway.addr())?;
    assert_eq!(connection.exchange(&Request::get("/").header("x-echo-delay", "1500"))?.status, 200);
    let start = Instant::now();
    assert!(connection.read_to_end()?.is_empty());
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&start.elapsed()), "closed after {:?}", start.elapsed());
    Ok(())
}

#[test]
fn answers_pipelined_requests_in_their_order() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    let mut connection = Connection::open(gateway.addr())?;
    let slow = Request::get("/first").header("x-echo-delay", "200").to_bytes();
    let rest = [Request::post("/second", "{}").to_bytes(), Request::get("/third").to_bytes()].concat();
    connection.write(&[slow, rest].concat())?;
    for target in ["/first", "/second", "/third"] {
        let answer = connection.read_response()?;
        assert_eq!((answer.status, Echoed::read(&answer.body)?.target()), (200, target));
    }
    Ok(())
}

#[test]
fn answers_http_1_0_without_chunks_and_closes() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    for head in ["GET / HTTP/1.0\r\nx-echo-bytes: 40000\r\n\r\n", "GET / HTTP/1.0\r\nHost: gateway.test\r\nx-echo-bytes: 40000\r\n\r\n"] {
        let mut connection = Connection::open(gateway.addr())?;
        connection.write(head.as_bytes())?;
        let answer = String::from_utf8_lossy(&connection.read_to_end()?).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
        assert!(head.starts_with("HTTP/1.0 200 ") || head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert!(body.len() == 40_000 && body.bytes().all(|byte| byte == b'.'), "{} bytes", body.len());
    }
    assert!(echo.journal().iter().all(|received| received.version() == "HTTP/1.1"));
    Ok(())
}

#[test]
fn answers_without_a_body_where_there_is_none_and_keeps_the_connection() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    let mut connection = Connection::open(gateway.addr())?;
    for (method, status) in [("HEAD", "200"), ("HEAD", "404"), ("GET", "204"), ("POST", "204"), ("GET", "304")] {
        connection.write(&Request::new(method, "/").header("x-echo-status", status).to_bytes())?;
        let head = connection.read_head()?;
        assert_eq!((head.status.to_string().as_str(), head.header("transfer-encoding")), (status, None), "{method}");
        if method == "HEAD" {
            let length: usize = head.header("content-length").context("no length of what GET would bring")?.parse()?;
            assert!(length > 100, "{head:?}");
        }
        if status == "204" {
            // RFC 9110 section 8.6: "A server MUST NOT send a Content-Length header field in any response with a status code of … 204".
            assert_eq!(head.header("content-length"), None);
        }
        // A body after this head would be read as the next answer.
        assert_eq!(connection.exchange(&Request::get("/"))?.status, 200, "after {method} {status}");
    }
    Ok(())
}

#[test]
fn answers_trace_connect_and_options_for_the_server_itself() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    for (request, statuses) in [
        ("TRACE / HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer sk-trace\r\n\r\n", [405, 405]),
        ("CONNECT gateway.test:80 HTTP/1.1\r\nHost: gateway.test:80\r\n\r\n", [405, 405]),
        // About the server as a whole, which is not the backend's to answer: no route's path is "*".
        ("OPTIONS * HTTP/1.1\r\nHost: gateway.test\r\n\r\n", [404, 200]),
    ] {
        let mut connection = Connection::open(gateway.addr())?;
        connection.write(request.as_bytes())?;
        let answer = connection.read_response()?;
        assert!(statuses.contains(&answer.status), "{request} {}", answer.status);
        assert!(!answer.text().contains("sk-trace"), "{}", answer.text());
    }
    assert_eq!(echo.connections(), 0);
    Ok(())
}

#[test]
fn takes_the_host_of_an_absolute_target_and_sends_its_path_on() -> anyhow::Result<()> {
    let (echo, other) = (Echo::start("echo")?, Echo::start("other")?);
    let of_other =
        route_with("other", "{backendRefs: [{name: other, port: 80}]}").replace("  rules:", "  hostnames: [other.test]\n  rules:");
    let gateway = start(&(echo.manifests("backend") + &other.manifests("other") + &of_other))?;
    for (host, backend, written) in [("other.test", "other", "gateway.test"), ("gateway.test:8080", "echo", "other.test")] {
        let answer = gateway.send(&Request::get(&format!("http://{host}/a%20b?c=d")).header("Host", written))?;
        let echoed = Echoed::read(&answer.body).with_context(|| format!("{host}: {}", answer.status))?;
        assert_eq!((echoed.backend(), echoed.host()), (backend, host));
        assert_eq!(echoed.target(), "/a%20b?c=d", "a backend takes a path, and not all of them an absolute target");
    }
    Ok(())
}

#[test]
fn refuses_targets_and_hosts_that_could_be_read_in_two_ways() -> anyhow::Result<()> {
    let get = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\n{host}\r\n\r\n");
    let (one, two) = ("Host: gateway.test", "Host: gateway.test\r\nHost: gateway.test");
    check_refused(
        &Echo::start("echo")?,
        400,
        &[
            get("/a/../b", one),
            get("/..", one),
            get("/./a", one),
            get("/a/%2e%2E/b", one),
            get("/a/.%2e", one),
            get("/", two),
            get("/", "Host: gateway.test\r\nhost: other.test"),
            get("/", "X-No: Host"),
            get("/", "Host: gateway.test/path"),
            get("/", "Host: user@gateway.test"),
            get("http://user@gateway.test/", one),
        ],
    )
}

#[test]
fn refuses_two_framings_of_one_request_and_closes() -> anyhow::Result<()> {
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
    let both = |first: &str, second: &str| with_lines(&format!("{first}\r\n{second}")) + smuggled;
    let (length, chunked) = ("Content-Length: 6", "Transfer-Encoding: chunked");
    check_refused(
        &Echo::start("echo")?,
        400,
        &[both(length, chunked), both(chunked, length), both("content-length:6", "TRANSFER-ENCODING: Chunked")],
    )
}

#[test]
fn refuses_two_framings_on_a_connection_that_was_good_before() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    for lines in ["Content-Length: 6\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 6"] {
        let mut connection = Connection::open(gateway.addr())?;
        assert_eq!(connection.exchange(&Request::post("/good", "{}"))?.status, 200);
        connection.write(format!("{}0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n", with_lines(lines)).as_bytes())?;
        assert_eq!(connection.read_response()?.status, 400, "{lines}");
        assert!(connection.read_to_end()?.is_empty(), "{lines}");
    }
    assert!(echo.journal().iter().all(|received| received.target() == "/good"), "{:?}", echo.journal());
    Ok(())
}

#[test]
fn frames_a_body_for_the_backend_as_the_client_framed_it() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo.manifests("backend"))?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(with_lines("Transfer-Encoding: chunked").as_bytes())?;
    connection.write(b"5;extension=1\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-trailer: 1\r\n\r\n")?;
    let chunked = Echoed::read(&connection.read_response()?.body)?;
    assert_eq!((chunked.header("transfer-encoding"), chunked.body_length()), (vec!["chunked"], 11));
    assert!(chunked.header("content-length").is_empty(), "{chunked:?}");
    let counted = Echoed::read(&connection.exchange(&Request::post("/", "12345"))?.body)?;
    assert_eq!((counted.header("content-length"), counted.body_length()), (vec!["5"], 5));
    assert!(counted.header("transfer-encoding").is_empty(), "{counted:?}");
    let none = Echoed::read(&connection.exchange(&Request::get("/"))?.body)?;
    assert!(none.header("content-length").is_empty() && none.header("transfer-encoding").is_empty(), "{none:?}");
    Ok(())
}

/// What no sound backend answers.
fn unsound(target: &str) -> Vec<u8> {
    let text = match target {
        "/both" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/both-turned" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "/bad-length" => "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "/garbage" => "220 mail.example ESMTP\r\n",
        "/bad-header" => "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        "/half" => "HTTP/1.1 200 OK\r\nContent-Le",
        "/nothing" => "",
        "/long" => return format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "a".repeat(400 * 1024)).into_bytes(),
        // It closes after every answer: said here, so that no later request meets a connection about to close.
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine",
    };
    text.as_bytes().to_vec()
}

/// Asks for each of these, and each time for something sound after it, on one connection.
fn check_bad_gateway(targets: &[&str]) -> anyhow::Result<()> {
    let backend = Canned::start(unsound)?;
    let gateway = start(&backend.manifests("backend"))?;
    let mut connection = Connection::open(gateway.addr())?;
    for target in targets {
        let answer = connection.exchange(&Request::get(target)).with_context(|| (*target).to_owned())?;
        ensure!(answer.status == 502, "{} to {target}: {}", answer.status, answer.text());
        let next = connection.exchange(&Request::get("/sound")).with_context(|| format!("after {target}"))?;
        ensure!(next.status == 200 && next.text() == "fine", "{} after {target}: {}", next.status, next.text());
    }
    ensure!(backend.requests() == 2 * targets.len() as u64, "an unsound answer was asked for again");
    Ok(())
}

#[test]
fn answers_502_to_an_unsound_answer_and_serves_the_next_request() -> anyhow::Result<()> {
    check_bad_gateway(&["/garbage", "/nothing", "/half", "/bad-header", "/bad-length", "/lengths", "/long"])
}

#[test]
fn answers_502_to_an_answer_with_two_framings() -> anyhow::Result<()> {
    // RFC 9112 section 6.3: it "might indicate an attempt to perform … response splitting and ought to be handled as an error".
    check_bad_gateway(&["/both", "/both-turned"])
}

//! HTTP/2 on either side: any client to any backend, trailers, gRPC, many streams on one connection, streams that are given up.

use std::time::{Duration, Instant};

use keyward_e2e::{Connection, Echo, Echoed, Gateway, Http2, Http2Answer, Payload, Request, Setup, curl, eventually, gateway, route_with};

const SOON: Duration = Duration::from_secs(5);

/// Routes from `/one` to an HTTP/1.1 and from `/two` to an HTTP/2 port of the same backend.
fn start(echo: &Echo) -> anyhow::Result<Gateway> {
    let rule =
        |name: &str| format!("{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], backendRefs: [{{name: {name}, port: 80}}]}}");
    let services = echo.manifests("one") + &echo.manifests_h2c("two");
    let routes = route_with("one", &rule("one")) + &route_with("two", &rule("two"));
    Setup::new().manifest("all.yaml", &(gateway(&[8080]) + &services + &routes)).log_filter("info").start()
}

/// The paths of [`start`], and what the backend is spoken to in there.
const PATHS: [(&str, &str); 2] = [("/one", "HTTP/1.1"), ("/two", "HTTP/2.0")];

#[test]
fn leads_clients_of_either_version_to_backends_of_either_version() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for (path, version) in PATHS {
        let target = format!("{path}/a%20b?c=d");
        let one = gateway.send(&Request::post(&target, "12345"))?;
        let two = http2.send(Http2::request("POST", &target).body(Payload::whole("12345"))?)?;
        assert_eq!((one.status, two.status), (200, 200), "{path}");
        for echoed in [Echoed::read(&one.body)?, Echoed::read(&two.body)?] {
            assert_eq!((echoed.version(), echoed.method(), echoed.body_length()), (version, "POST", 5), "{path}");
            // The request line of HTTP/1.1 has the path alone, as every server takes it (RFC 9112 section 3.2.1).
            assert_eq!((echoed.target(), echoed.host()), (target.as_str(), "gateway.test"), "{path}");
            assert_eq!(echoed.header("content-length"), ["5"], "{path}");
            for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
                assert!(echoed.header(name).is_empty(), "{path}: {echoed:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn takes_http2_of_curl_with_prior_knowledge() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    for (path, version) in PATHS {
        let answer = curl(&["--http2-prior-knowledge", &gateway.url(path)])?;
        assert_eq!((answer.status, Echoed::read(answer.body.as_bytes())?.version()), (200, version));
    }
    Ok(())
}

#[test]
fn offers_no_backend_an_upgrade_to_http2() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    // A backend that took it would be spoken to past the gateway: what is inside of the tunnel is routed by nobody.
    let answer = curl(&["--http2", &gateway.url("/one")])?;
    assert_eq!(answer.status, 200);
    let echoed = Echoed::read(answer.body.as_bytes())?;
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(echoed.header(name).is_empty(), "{echoed:?}");
    }
    Ok(())
}

#[test]
fn carries_trailers_both_ways_from_end_to_end() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    let (sender, body) = Payload::stream();
    let request = Http2::request("POST", "/two").header("te", "trailers").header("x-echo-trailers", "x-checksum=42,x-end=yes");
    let answering = http2.spawn(request.body(body)?);
    let trailers = http::HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("7"))]);
    http2.run(async {
        sender.send(hyper::body::Frame::data("12345".into())).await?;
        sender.send(hyper::body::Frame::trailers(trailers)).await
    })?;
    drop(sender);
    let answer = http2.run(answering)??;
    assert_eq!(answer.status, 200);
    assert_eq!((trailer(&answer, "x-checksum"), trailer(&answer, "x-end")), (Some("42"), Some("yes")));
    let echoed = Echoed::read(&answer.body)?;
    assert_eq!((echoed.trailer("x-sum"), echoed.body_length()), (vec!["7"], 5));
    Ok(())
}

fn trailer<'a>(answer: &'a Http2Answer, name: &str) -> Option<&'a str> {
    answer.trailers.get(name)?.to_str().ok()
}

#[test]
fn carries_trailers_of_an_http1_backend_to_an_http2_client() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    let request = Http2::request("GET", "/one").header("te", "trailers").header("x-echo-trailers", "x-checksum=42");
    let answer = http2.send(request.body(Payload::empty())?)?;
    assert_eq!((answer.status, trailer(&answer, "x-checksum")), (200, Some("42")));
    Ok(())
}

#[test]
fn routes_grpc_by_service_and_method() -> anyhow::Result<()> {
    let echo = Echo::start("greeter")?;
    // No appProtocol: that it is HTTP/2 follows from the GRPCRoute.
    let rule = "{matches: [{method: {service: helloworld.Greeter, method: SayHello}}], backendRefs: [{name: greeter, port: 80}]}";
    let route = route_with("greeter", rule).replace("HTTPRoute", "GRPCRoute");
    let gateway = Setup::new().manifest("all.yaml", &(gateway(&[8080]) + &echo.manifests("greeter") + &route)).start()?;
    let http2 = Http2::open(gateway.addr())?;
    let call = |method: &str| {
        let request = Http2::request("POST", method).header("content-type", "application/grpc").header("te", "trailers");
        // A message of five bytes: not compressed, its length, itself.
        let message: &[u8] = b"\0\0\0\0\x05hello";
        request.header("x-echo-trailers", "grpc-status=0,grpc-message=fine").body(Payload::whole(message))
    };
    let answer = http2.send(call("/helloworld.Greeter/SayHello")?)?;
    assert_eq!((answer.status, trailer(&answer, "grpc-status"), trailer(&answer, "grpc-message")), (200, Some("0"), Some("fine")));
    let echoed = Echoed::read(&answer.body)?;
    assert_eq!((echoed.version(), echoed.target(), echoed.body_length()), ("HTTP/2.0", "/helloworld.Greeter/SayHello", 10));
    assert_eq!((echoed.header("te"), echoed.header("content-type")), (vec!["trailers"], vec!["application/grpc"]));
    for method in ["/helloworld.Greeter/SayGoodbye", "/helloworld.Other/SayHello", "/helloworld.Greeter/SayHello/x"] {
        assert_eq!(http2.send(call(method)?)?.status, 404, "{method}");
    }
    assert_eq!(echo.requests(), 1);
    Ok(())
}

#[test]
fn serves_many_streams_of_one_connection_at_once() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for (path, _) in PATHS {
        assert_eq!(http2.get(path)?.status, 200);
        let before = echo.connections();
        let request = |nth: usize| Http2::request("GET", &format!("{path}?nth={nth}")).header("x-echo-delay", "200").body(Payload::empty());
        let requests = (0..100).map(request).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        let answers = http2.send_all(requests)?;
        // One after the other they would take 20 seconds.
        assert!(start.elapsed() < Duration::from_secs(8), "{path}: {:?}", start.elapsed());
        for (nth, answer) in answers.iter().enumerate() {
            assert_eq!((answer.status, Echoed::read(&answer.body)?.target()), (200, format!("{path}?nth={nth}").as_str()));
        }
        let most = if path == "/two" { 0 } else { 99 };
        assert!(echo.connections() - before <= most, "{path}: {} new connections to the backend", echo.connections() - before);
    }
    Ok(())
}

#[test]
fn resets_the_backends_stream_when_the_client_gives_up_before_the_answer() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for ((path, _), nth) in PATHS.into_iter().zip(1..) {
        let before = echo.requests();
        let waiting = http2.spawn(Http2::request("GET", path).header("x-echo-delay", "60000").body(Payload::empty())?);
        eventually("the request arrives", SOON, || Ok(echo.requests() > before))?;
        waiting.abort();
        eventually("the backend notices", SOON, || Ok(echo.abandoned() == nth))?;
        assert_eq!(http2.get(path)?.status, 200, "the other streams go on");
    }
    Ok(())
}

#[test]
fn resets_the_backends_stream_when_the_client_gives_up_in_the_middle() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for ((path, _), nth) in PATHS.into_iter().zip(1..) {
        let request = Http2::request("GET", path).header("x-echo-bytes", "1000000000").header("x-echo-pause", "20");
        let mut answer = http2.begin(request.body(Payload::empty())?)?;
        assert!(!http2.next_data(&mut answer)?.is_empty());
        http2.run(async { drop(answer) });
        eventually("the backend notices", SOON, || Ok(echo.abandoned() == nth))?;
        assert_eq!(http2.get(path)?.status, 200, "the other streams go on");
    }
    Ok(())
}

#[test]
fn keeps_the_connection_when_the_backend_drops_one_stream() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    for (path, _) in PATHS {
        let dropped = Http2::request("POST", path).header("x-echo-drop", "1000000").body(Payload::whole("{}"))?;
        assert_eq!(http2.send(dropped)?.status, 502, "{path}");
        assert_eq!(http2.get(path)?.status, 200, "{path}");
    }
    Ok(())
}

#[test]
fn passes_an_answer_on_that_comes_before_the_body_was_read() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    let (sender, body) = Payload::stream();
    let request = Http2::request("POST", "/two").header("x-echo-read", "never").header("x-echo-status", "413");
    let answering = http2.spawn(request.body(body)?);
    http2.run(sender.send(hyper::body::Frame::data(vec![0; 1024].into())))?;
    // The body never ends, and the answer does not wait for it.
    assert_eq!(http2.run(answering)??.status, 413);
    assert_eq!(http2.get("/two")?.status, 200);
    Ok(())
}

#[test]
fn speaks_either_version_on_one_port() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    let mut http1 = Connection::open(gateway.addr())?;
    for _ in 0..3 {
        assert_eq!(http2.get("/one")?.status, 200);
        assert_eq!(http1.exchange(&Request::get("/two"))?.status, 200);
    }
    // The preface of HTTP/2 in two parts, as a slow network brings it: an answer must still be HTTP/2, which begins with SETTINGS.
    let mut slow = Connection::open(gateway.addr())?;
    slow.write(b"PRI * HTTP/2.0\r\n")?;
    std::thread::sleep(Duration::from_millis(100));
    slow.write(b"\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
    let (frame, complete) = slow.read_up_to(9)?;
    assert!(complete && frame.get(3) == Some(&4), "{frame:?}");
    Ok(())
}

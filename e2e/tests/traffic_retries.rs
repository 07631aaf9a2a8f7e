//! Timeouts and retries of routes to Services: how long is waited, what is tried again, and what never is.

use std::time::{Duration, Instant};

use keyward_e2e::{Connection, Echo, Echoed, Gateway, Request, Setup, eventually, gateway, route_with};

const SOON: Duration = Duration::from_secs(5);

/// A route to the backend with these fields in its rule.
fn start(echo: &Echo, fields: &str) -> anyhow::Result<Gateway> {
    let rule = format!("{{{fields} backendRefs: [{{name: echo, port: 80}}]}}");
    let manifests = gateway(&[8080]) + &echo.manifests("echo") + &route_with("echo", &rule);
    Setup::new().manifest("all.yaml", &manifests).start()
}

#[test]
fn answers_504_when_a_timeout_is_over_and_gives_the_backend_up() -> anyhow::Result<()> {
    for timeouts in ["timeouts: {request: 300ms},", "timeouts: {backendRequest: 300ms},", "timeouts: {request: 2s, backendRequest: 300ms},"]
    {
        let echo = Echo::start("echo")?;
        let gateway = start(&echo, timeouts)?;
        let mut connection = Connection::open(gateway.addr())?;
        let start = Instant::now();
        let answer = connection.exchange(&Request::get("/").header("x-echo-delay", "20000"))?;
        assert_eq!(answer.status, 504, "{timeouts}");
        assert!((Duration::from_millis(290)..Duration::from_secs(5)).contains(&start.elapsed()), "{timeouts}: {:?}", start.elapsed());
        eventually("the backend is given up", SOON, || Ok(echo.abandoned() == 1))?;
        assert_eq!(connection.exchange(&Request::get("/"))?.status, 200, "{timeouts}");
    }
    Ok(())
}

#[test]
fn cuts_an_answer_that_is_not_over_within_the_request_timeout() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo, "timeouts: {request: 400ms},")?;
    // In pieces of 16 KiB, five of them in a second: it would take 4 seconds.
    let slow = Request::get("/").header("x-echo-bytes", "327680").header("x-echo-pause", "200");
    let answer = gateway.send(&slow)?;
    assert_eq!(answer.status, 200);
    assert!(!answer.complete, "an answer of 4 seconds came whole");
    assert_eq!(gateway.send(&Request::get("/"))?.status, 200);
    Ok(())
}

#[test]
fn cuts_an_answer_that_is_not_over_within_the_backend_timeout() -> anyhow::Result<()> {
    // "until the full response has been received from the backend" (HTTPRouteTimeouts.backendRequest).
    let echo = Echo::start("echo")?;
    let gateway = start(&echo, "timeouts: {backendRequest: 400ms},")?;
    let answer = gateway.send(&Request::get("/").header("x-echo-bytes", "327680").header("x-echo-pause", "200"))?;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(gateway.send(&Request::get("/"))?.status, 200);
    Ok(())
}

const ON_503: &str = "retry: {codes: [503], attempts: 3, backoff: 10ms},";

#[test]
fn tries_again_on_a_listed_status_with_the_same_body() -> anyhow::Result<()> {
    for request in [Request::get("/"), Request::post("/", &"x".repeat(2000))] {
        let echo = Echo::start("echo")?;
        let gateway = start(&echo, ON_503)?;
        let answer = gateway.send(&request.header("x-echo-status", "503").header("x-echo-fail-first", "2"))?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let tries = echo.journal();
        assert_eq!(tries.len(), 3);
        let last = tries.last().map(Echoed::body_length);
        assert!(tries.iter().all(|one| Some(one.body_length()) == last), "{tries:?}");
        assert_eq!(last, Some(Echoed::read(&answer.body)?.body_length()));
    }
    Ok(())
}

#[test]
fn passes_the_last_answer_on_when_all_tries_fail() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo, ON_503)?;
    let answer = gateway.send(&Request::get("/").header("x-echo-status", "503"))?;
    assert_eq!((answer.status, echo.requests()), (503, 4), "one try and three more");
    Ok(())
}

#[test]
fn tries_no_status_again_that_is_not_listed() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo, ON_503)?;
    for (status, requests) in [("500", 1), ("404", 2), ("429", 3)] {
        let answer = gateway.send(&Request::get("/").header("x-echo-status", status))?;
        assert_eq!((answer.status.to_string().as_str(), echo.requests()), (status, requests));
    }
    Ok(())
}

#[test]
fn tries_a_dropped_get_again_when_the_rule_has_retries() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo, "retry: {attempts: 2, backoff: 10ms},")?;
    let answer = gateway.send(&Request::get("/").header("x-echo-drop", "1"))?;
    assert_eq!((answer.status, echo.requests()), (200, 2));
    Ok(())
}

#[test]
fn never_sends_a_post_twice_that_the_backend_may_have_taken() -> anyhow::Result<()> {
    for retry in ["", ON_503] {
        let echo = Echo::start("echo")?;
        let gateway = start(&echo, retry)?;
        let mut connection = Connection::open(gateway.addr())?;
        // On a new connection to the backend, and on one that was used before: there a proxy is tempted most.
        for (warm, drop) in [(0, "1"), (1, "3")] {
            for _ in 0..warm {
                assert_eq!(connection.exchange(&Request::get("/"))?.status, 200);
            }
            let before = echo.requests();
            let answer = connection.exchange(&Request::post("/", "{}").header("x-echo-drop", drop))?;
            assert_eq!((answer.status, echo.requests() - before), (502, 1), "{retry:?}, warm: {warm}");
        }
    }
    Ok(())
}

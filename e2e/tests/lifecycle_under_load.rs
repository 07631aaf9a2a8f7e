//! Changes and endings while clients are at work: no request is lost, and every answer is one that a configuration allowed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use keyward_e2e::{Connection, Echo, Echoed, Gateway, Http2, Payload, Request, Response, Setup, eventually, gateway, route_with};

const SOON: Duration = Duration::from_secs(5);

const CLIENTS: usize = 8;
const GENERATIONS: usize = 50;
/// Shorter than the gateway's look at its files, so that some changes come one by one and some several at a time.
const BETWEEN_WRITES: Duration = Duration::from_millis(90);
/// Between a client's requests: eight clients at full speed would take the machine from the tests beside this one.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(1);

/// The backend of a generation.
fn backend(generation: usize) -> &'static str {
    if generation.is_multiple_of(2) { "blue" } else { "green" }
}

/// The route of a generation: its backend, and its number in the request and in the answer. Beside it, routes that come and go.
fn routes(generation: usize) -> String {
    let modifier = format!("{{set: [{{name: x-generation, value: \"{generation}\"}}]}}");
    let rule = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /load}}}}], filters: [\
         {{type: RequestHeaderModifier, requestHeaderModifier: {modifier}}}, \
         {{type: ResponseHeaderModifier, responseHeaderModifier: {modifier}}}], \
         backendRefs: [{{name: {}, port: 80}}]}}",
        backend(generation)
    );
    let aside = |nth: usize| {
        let rule = format!("{{matches: [{{path: {{type: PathPrefix, value: /load-{nth}}}}}], backendRefs: [{{name: blue, port: 80}}]}}");
        route_with(&format!("aside-{nth}"), &rule)
    };
    route_with("load", &rule) + &(0..generation % 7).map(aside).collect::<String>()
}

/// The generation that an answer is of.
fn generation(answer: &Response) -> anyhow::Result<usize> {
    ensure!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
    let echoed = Echoed::read(&answer.body)?;
    let said = answer.head.header("x-generation").context("no generation")?;
    ensure!(echoed.header("x-generation") == [said], "one request, two configurations: {echoed:?} and {said}");
    let generation: usize = said.parse()?;
    ensure!(generation < GENERATIONS && echoed.backend() == backend(generation), "no such configuration: {echoed:?}");
    Ok(generation)
}

/// One client on one connection, until told to stop; gives the generations that it met.
fn work(addr: SocketAddr, stop: &AtomicBool) -> anyhow::Result<BTreeSet<usize>> {
    let mut connection = Connection::open(addr)?;
    let mut met = BTreeSet::from([0]);
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.exchange(&Request::get("/load/x"))?;
        let generation = generation(&answer)?;
        ensure!(met.last().is_none_or(|last| *last <= generation), "generation {generation} after {met:?}");
        met.insert(generation);
        if answer.head.header("connection") == Some("close") {
            connection = Connection::open(addr)?;
        }
        std::thread::sleep(BETWEEN_REQUESTS);
    }
    Ok(met)
}

/// Writes all generations, and waits for the last one to be served.
fn rewrite(gateway: &Gateway) -> anyhow::Result<()> {
    for generation in 1..GENERATIONS {
        gateway.write("routes.yaml", &routes(generation))?;
        std::thread::sleep(BETWEEN_WRITES);
    }
    eventually("the last configuration is served", SOON, || Ok(generation(&gateway.send(&Request::get("/load"))?)? == GENERATIONS - 1))
}

#[test]
fn loses_no_request_while_manifests_are_rewritten() -> anyhow::Result<()> {
    let (blue, green) = (Echo::start("blue")?, Echo::start("green")?);
    let base = gateway(&[8080]) + &blue.manifests("blue") + &green.manifests("green");
    let gateway = Setup::new().manifest("base.yaml", &base).manifest("routes.yaml", &routes(0)).log_filter("warn").start()?;
    let stop = AtomicBool::new(false);
    let (rewritten, worked) = std::thread::scope(|scope| {
        let at_work = |_| {
            let (addr, stop) = (gateway.addr(), &stop);
            scope.spawn(move || work(addr, stop))
        };
        let clients: Vec<_> = (0..CLIENTS).map(at_work).collect();
        let rewritten = rewrite(&gateway);
        stop.store(true, Ordering::Relaxed);
        (rewritten, clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>())
    });
    let mut met = BTreeSet::new();
    for client in worked {
        met.extend(client.ok().context("a client panicked")?.context("a request was lost")?);
    }
    rewritten?;
    assert!(met.len() >= 8, "too few configurations were met to tell anything: {met:?}");
    Ok(())
}

fn start(echo: &Echo) -> anyhow::Result<Gateway> {
    let manifests = gateway(&[8080]) + &echo.manifests("echo") + &route_with("echo", "{backendRefs: [{name: echo, port: 80}]}");
    Setup::new().manifest("all.yaml", &manifests).arguments(&["--drain-timeout", "8"]).log_filter("info").start()
}

/// Asks the gateway to end, and waits until it takes no new connection.
fn terminate(gateway: &Gateway) -> anyhow::Result<()> {
    gateway.terminate()?;
    eventually("the listener is closed", SOON, || Ok(Connection::open(gateway.addr()).is_err()))
}

/// Waits for the end, which must not be the drain time's.
fn check_end(gateway: Gateway) -> anyhow::Result<()> {
    let start = Instant::now();
    let ended = gateway.wait()?;
    ensure!(ended.status.code() == Some(0), "{}", ended.status);
    ensure!(start.elapsed() < Duration::from_secs(4), "it ended {:?} after its last request", start.elapsed());
    Ok(())
}

#[test]
fn finishes_what_is_in_flight_takes_nothing_new_and_ends() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let mut idle = Connection::open(gateway.addr())?;
    assert_eq!(idle.exchange(&Request::get("/"))?.status, 200);
    let request = Request::get("/").header("x-echo-delay", "300").to_bytes();
    let begin = |_| {
        let mut connection = Connection::open(gateway.addr())?;
        connection.write(&request)?;
        anyhow::Ok(connection)
    };
    let in_flight = (0..20).map(begin).collect::<anyhow::Result<Vec<_>>>()?;
    eventually("all requests are in flight", SOON, || Ok(echo.requests() == 21))?;
    terminate(&gateway)?;
    for mut connection in in_flight {
        let answer = connection.read_response().context("a request was lost")?;
        assert_eq!((answer.status, answer.complete), (200, true));
    }
    assert!(idle.read_to_end()?.is_empty(), "an idle connection was told something");
    check_end(gateway)
}

#[test]
fn finishes_the_streams_of_http2_connections_and_ends() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    let http2 = Http2::open(gateway.addr())?;
    let request = || Http2::request("GET", "/").header("x-echo-delay", "300").body(Payload::empty());
    let in_flight = (0..10).map(|_| Ok(http2.spawn(request()?))).collect::<anyhow::Result<Vec<_>>>()?;
    eventually("all requests are in flight", SOON, || Ok(echo.requests() == 10))?;
    terminate(&gateway)?;
    for stream in in_flight {
        assert_eq!(http2.run(stream)?.context("a stream was lost")?.status, 200);
    }
    check_end(gateway)
}

#[test]
fn ends_at_once_although_a_client_is_connected_and_says_nothing() -> anyhow::Result<()> {
    let echo = Echo::start("echo")?;
    let gateway = start(&echo)?;
    // Several, so that more than one worker has one.
    let silent = (0..8).map(|_| Connection::open(gateway.addr())).collect::<anyhow::Result<Vec<_>>>()?;
    assert_eq!(gateway.send(&Request::get("/"))?.status, 200);
    gateway.terminate()?;
    check_end(gateway)?;
    drop(silent);
    Ok(())
}

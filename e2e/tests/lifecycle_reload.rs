//! What changes in the manifests is served without a restart and without a lost request; what is wrong in them is reported and harms nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use keyward_e2e::{Connection, Gateway, Provider, Request, Setup, eventually, gateway, route, secret, upstream};
use mock_llm::{Entry, Options};

const KEY: &str = "sk-before-rotation";
const ROTATED: &str = "sk-after-rotation";
const SOON: Duration = Duration::from_secs(10);

fn by_inline(name: &str) -> String {
    upstream(name, &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}")) + &route(name, "/v1/chat/completions")
}

fn by_secret(name: &str) -> String {
    upstream(name, &format!("{{openai: {{authToken: {{secretRef: {{name: {name}}}}}}}}}")) + &route(name, "/v1/chat/completions")
}

fn answers(gateway: &Gateway, target: &str, status: u16) -> anyhow::Result<bool> {
    Ok(gateway.send(&Request::chat(target))?.status == status)
}

#[test]
fn serves_a_route_whose_file_is_added_and_no_longer_one_whose_file_is_removed() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway =
        Setup::new().manifest("gateway.yaml", &gateway(&[8080])).manifest("one.yaml", &by_inline("one")).provider(&provider).start()?;
    assert!(answers(&gateway, "/one", 200)? && answers(&gateway, "/two", 404)?);
    gateway.write("two.yaml", &by_inline("two"))?;
    eventually("the added route is served", SOON, || answers(&gateway, "/two", 200))?;
    assert!(answers(&gateway, "/one", 200)?);
    gateway.remove("one.yaml")?;
    eventually("the removed route is gone", SOON, || answers(&gateway, "/one", 404))?;
    assert!(answers(&gateway, "/two", 200)?);
    Ok(())
}

#[test]
fn reports_a_file_that_breaks_and_goes_on_with_the_rest() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway =
        Setup::new().manifest("gateway.yaml", &gateway(&[8080])).manifest("one.yaml", &by_inline("one")).provider(&provider).start()?;
    gateway.write("broken.yaml", "apiVersion: v1\nkind: [Secret\nmetadata: }{\n")?;
    eventually("the broken file is reported", SOON, || Ok(gateway.log()?.contains("broken.yaml")))?;
    assert!(answers(&gateway, "/one", 200)?);
    gateway.write("broken.yaml", &by_inline("mended"))?;
    eventually("the mended file is served", SOON, || answers(&gateway, "/mended", 200))?;
    assert!(answers(&gateway, "/one", 200)?);
    Ok(())
}

#[test]
fn serves_as_soon_as_a_missing_secret_appears() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let manifests = gateway(&[8080]) + &by_secret("late");
    let gateway = Setup::new().manifest("all.yaml", &manifests).provider(&provider).start()?;
    assert!(answers(&gateway, "/late", 503)?);
    assert_eq!(provider.connections(), 0, "the provider was called without a credential");
    gateway.write("secret.yaml", &secret("late", KEY))?;
    eventually("the Secret is used", SOON, || answers(&gateway, "/late", 200))?;
    gateway.remove("secret.yaml")?;
    eventually("a removed Secret is no longer used", SOON, || answers(&gateway, "/late", 503))
}

/// Clients at work during the rotation, and the least number of requests of each before and after it.
const CLIENTS: usize = 4;
const LEAST: usize = 50;

/// One client on one connection, until told to stop. Any answer but a good one is an error.
fn work(addr: SocketAddr, name: &str, stop: &AtomicBool) -> anyhow::Result<()> {
    let request = Request::chat("/rotating").header("x-client", name);
    let mut connection = Connection::open(addr)?;
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.exchange(&request)?;
        ensure!(answer.status == 200 && answer.complete, "{name}: {} {}", answer.status, answer.text());
        if answer.head.header("connection") == Some("close") {
            connection = Connection::open(addr)?;
        }
    }
    Ok(())
}

/// The keys that one client's requests had, in their order.
fn keys_of(journal: &[Entry], client: &str) -> Vec<String> {
    let mine = journal.iter().filter(|request| request.header_values("x-client") == [client]);
    mine.map(|request| request.header_values("authorization").concat()).collect()
}

/// Rewrites the Secret once every client is at work, and waits until every client has worked with the new key.
fn rotate(gateway: &Gateway, provider: &Provider) -> anyhow::Result<()> {
    let everyone = |least: usize, with: &str| {
        let journal = provider.journal();
        let done = |client: usize| keys_of(&journal, &client.to_string()).iter().filter(|key| key.ends_with(with)).count() >= least;
        (0..CLIENTS).all(done)
    };
    eventually("every client is at work", 3 * SOON, || Ok(everyone(LEAST, KEY)))?;
    gateway.write("secret.yaml", &secret("rotating", ROTATED))?;
    eventually("every client works with the new key", 3 * SOON, || Ok(everyone(LEAST, ROTATED)))
}

#[test]
fn uses_a_rotated_secret_for_the_next_request_and_loses_none() -> anyhow::Result<()> {
    let provider = Provider::start(Options { keys: vec![KEY.to_owned(), ROTATED.to_owned()], ..Options::default() })?;
    let gateway = Setup::new()
        .manifest("all.yaml", &(gateway(&[8080]) + &by_secret("rotating")))
        .manifest("secret.yaml", &secret("rotating", KEY))
        .provider(&provider)
        .log_filter("info")
        .start()?;
    let stop = AtomicBool::new(false);
    let (rotated, worked) = std::thread::scope(|scope| {
        let at_work = |client: usize| {
            let (addr, stop) = (gateway.addr(), &stop);
            scope.spawn(move || work(addr, &client.to_string(), stop))
        };
        let clients: Vec<_> = (0..CLIENTS).map(at_work).collect();
        let rotated = rotate(&gateway, &provider);
        stop.store(true, Ordering::Relaxed);
        let worked: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (rotated, worked)
    });
    for client in worked {
        client.ok().context("a client panicked")?.context("a request was lost")?;
    }
    rotated?;
    let journal = provider.journal();
    for client in 0..CLIENTS {
        let keys = keys_of(&journal, &client.to_string());
        let first_new = keys.iter().position(|key| key.ends_with(ROTATED)).context("never rotated")?;
        let after = keys.get(first_new..).unwrap_or_default();
        assert!(after.iter().all(|key| key == &format!("Bearer {ROTATED}")), "client {client} went back to the old key: {keys:?}");
    }
    Ok(())
}

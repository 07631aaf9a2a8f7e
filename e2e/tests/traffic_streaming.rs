//! Streams pass frame by frame, as they come; and whoever stops listening stops the provider.

use std::time::{Duration, Instant};

use anyhow::Context;
use keyward_e2e::{Connection, Gateway, Provider, Request, Setup, eventually};

const KEY: &str = "sk-streaming-tests";

fn start(provider: &Provider) -> anyhow::Result<Gateway> {
    Setup::new().sample("inline", KEY)?.provider(provider).start()
}

#[test]
fn streams_every_frame_the_usage_and_the_end() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let answer = gateway.send(&Request::chat_stream("/openai").header("x-mock-mode", "frames=25"))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(answer.complete);
    let text = answer.text();
    let frames: Vec<&str> = text.split("\n\n").filter(|frame| !frame.is_empty()).collect();
    assert_eq!(frames.len(), 25 + 2, "{text}");
    assert!(frames.iter().all(|frame| frame.starts_with("data: ")), "{text}");
    assert!(frames.get(25).is_some_and(|usage| usage.contains("\"completion_tokens\":25")), "{text}");
    assert_eq!(frames.get(26), Some(&"data: [DONE]"));
    Ok(())
}

#[test]
fn passes_each_frame_on_when_it_comes() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(&Request::chat_stream("/openai").header("x-mock-mode", "frames=4,gap=600").to_bytes())?;
    assert_eq!(connection.read_head()?.status, 200);
    let start = Instant::now();
    let first = connection.read_chunk()?.context("no first frame")?;
    assert!(first.ends_with(b"\n\n"), "not a whole frame: {}", String::from_utf8_lossy(&first));
    // Four frames, the usage and the end mark follow at 600 ms each: held back, the first would come after three seconds.
    assert!(start.elapsed() < Duration::from_millis(550), "the first frame came after {:?}", start.elapsed());
    while !connection.read_chunk()?.context("the stream was cut")?.is_empty() {}
    assert!(start.elapsed() > Duration::from_millis(2500), "the provider did not pause");
    Ok(())
}

#[test]
fn stops_the_provider_when_the_client_leaves_in_the_middle() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(&Request::chat_stream("/openai").header("x-mock-mode", "frames=1000,gap=20").to_bytes())?;
    assert_eq!(connection.read_head()?.status, 200);
    connection.read_chunk()?.context("no first frame")?;
    drop(connection);
    eventually("the provider notices", Duration::from_secs(5), || Ok(provider.only_request()?.left_early))
}

#[test]
fn stops_the_provider_when_the_client_leaves_before_the_answer() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut connection = Connection::open(gateway.addr())?;
    connection.write(&Request::chat("/openai").header("x-mock-mode", "hang").to_bytes())?;
    eventually("the request arrives", Duration::from_secs(5), || Ok(!provider.journal().is_empty()))?;
    drop(connection);
    eventually("the provider notices", Duration::from_secs(5), || Ok(provider.only_request()?.left_early))
}

#[test]
fn goes_on_with_other_requests_while_a_stream_stalls() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let mut stalled = Connection::open(gateway.addr())?;
    stalled.write(&Request::chat_stream("/openai").header("x-mock-mode", "stall-stream").to_bytes())?;
    assert_eq!(stalled.read_head()?.status, 200);
    stalled.read_chunk()?.context("no first frame")?;
    for _ in 0..10 {
        assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200);
    }
    Ok(())
}

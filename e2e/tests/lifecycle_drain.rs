//! Ending: what was begun is finished, and nothing new is taken.

use std::time::Duration;

use anyhow::Context;
use keyward_e2e::{Connection, Provider, Request, Setup, eventually};

const KEY: &str = "sk-drain-tests";

#[test]
fn finishes_a_stream_before_it_ends() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().sample("inline", KEY)?.provider(&provider).start()?;
    let addr = gateway.addr();
    let mut connection = Connection::open(addr)?;
    connection.write(&Request::chat_stream("/openai").header("x-mock-mode", "frames=10,gap=150").to_bytes())?;
    assert_eq!(connection.read_head()?.status, 200);
    let mut received = connection.read_chunk()?.context("no first frame")?;
    gateway.terminate()?;
    eventually("the listener is closed", Duration::from_secs(5), || Ok(Connection::open(addr).is_err()))?;
    loop {
        let chunk = connection.read_chunk()?.context("the stream was cut")?;
        if chunk.is_empty() {
            break;
        }
        received.extend(chunk);
    }
    assert!(received.ends_with(b"data: [DONE]\n\n"), "{}", String::from_utf8_lossy(&received));
    let ended = gateway.wait()?;
    assert!(ended.status.success(), "{}", ended.status);
    Ok(())
}

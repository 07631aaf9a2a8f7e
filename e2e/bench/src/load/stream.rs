//! One stream of events, read as it comes: how many reads it took is part of what is measured.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memchr_iter;
use tokio::time::sleep;

use super::Load;
use crate::connection::{Connection, SCRATCH, check_status};
use crate::http1::{self, Chunks, Framing};
use crate::payload::{Digest, EVENT_INTERVAL};

/// Asks for a stream and reads it to its end.
pub(super) async fn read(load: Rc<Load>, nth: u32) -> Result<()> {
    // Spread over the interval between two events, so that streams do not tick together.
    let spread = u64::from(nth) % u64::try_from(EVENT_INTERVAL.as_millis())?;
    sleep(Duration::from_millis(spread)).await;
    let mut scratch = vec![0; SCRATCH];
    let mut connection = load.dialer.dial().await?;
    connection.send(&load.request).await?;
    let early = head(&mut connection, &mut scratch).await?;
    let mut body = Body::default();
    body.take(&early)?;
    while !body.chunks.done() {
        let read = connection.read(&mut scratch).await?;
        let events = body.take(&scratch[..read])?;
        load.meter.read(events);
    }
    load.meter.requests.set(load.meter.requests.get() + 1);
    let events = load.job.events().context("a stream without events")?;
    ensure!(body.digest == Digest::of_stream(events), "the stream is not the backend's: {} events of {events}", body.lines / 2);
    Ok(())
}

/// Reads the head of the answer, and gives what came after it.
async fn head(connection: &mut Connection, scratch: &mut [u8]) -> Result<Vec<u8>> {
    let mut filled = 0;
    loop {
        ensure!(filled < scratch.len(), "an endless head");
        filled += connection.read(&mut scratch[filled..]).await?;
        if let Some(end) = http1::end_of_head(&scratch[..filled]) {
            check_status(scratch)?;
            ensure!(http1::framing(&scratch[..end])? == Framing::Chunked, "a stream that is not chunked");
            return Ok(scratch[end..filled].to_vec());
        }
    }
}

#[derive(Default)]
struct Body {
    chunks: Chunks,
    digest: Digest,
    lines: u64,
}

impl Body {
    /// Takes in what a read brought, and says how many events ended in it: each is one line and an empty one.
    fn take(&mut self, bytes: &[u8]) -> Result<u64> {
        let (before, digest, lines) = (self.lines / 2, &mut self.digest, &mut self.lines);
        let consumed = self.chunks.feed(bytes, |data| {
            digest.update(data);
            *lines += memchr_iter(b'\n', data).count() as u64;
        })?;
        ensure!(consumed == bytes.len(), "{} bytes after the stream", bytes.len() - consumed);
        Ok(self.lines / 2 - before)
    }
}

//! Requests one after the other: on one connection, or on a connection each.

use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;

use super::Load;
use crate::connection::SCRATCH;

/// One connection for all requests.
pub(super) async fn keep_alive(load: Rc<Load>) -> Result<()> {
    let mut scratch = vec![0; SCRATCH];
    let mut connection = load.dialer.dial().await?;
    while load.goes_on() {
        let started = Instant::now();
        connection.exchange(&mut scratch, &load.request, load.expected.as_bytes()).await?;
        load.meter.answered(started.elapsed());
    }
    Ok(())
}

/// One connection for each request, up to its end: only then has the server done all of its work.
pub(super) async fn close(load: Rc<Load>) -> Result<()> {
    let mut scratch = vec![0; SCRATCH];
    while load.goes_on() {
        let started = Instant::now();
        let mut connection = load.dialer.dial().await?;
        connection.exchange(&mut scratch, &load.request, load.expected.as_bytes()).await?;
        connection.closed(&mut scratch).await;
        load.meter.answered(started.elapsed());
    }
    Ok(())
}

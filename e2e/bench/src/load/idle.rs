//! Many connections: one request on each, then silence while the caller weighs the subject, then one more, to show that they were held.

use std::rc::Rc;
use std::thread;

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use super::{Load, ended};
use crate::connection::{Connection, SCRATCH};
use crate::job::{HOLDING, Report};

/// Connections opened at once.
const OPENERS: u32 = 64;

pub(super) async fn run(load: &Rc<Load>) -> Result<Report> {
    let openers: Vec<_> = (0..OPENERS).map(|nth| tokio::task::spawn_local(open(Rc::clone(load), nth))).collect();
    let mut held = Vec::new();
    for opener in openers {
        held.extend(opener.await??);
    }
    println!("{HOLDING}");
    go().await?;
    let again = tokio::task::spawn_local(use_again(Rc::clone(load), held));
    let errors = ended(vec![again]).await;
    let requests = load.meter.requests.get();
    Ok(Report { requests, completed: requests, errors, ..Report::default() })
}

/// Opens this opener's share, one after the other.
async fn open(load: Rc<Load>, nth: u32) -> Result<Vec<Connection>> {
    let mut scratch = vec![0; SCRATCH];
    let mut held = Vec::new();
    for which in (nth..load.job.connections).step_by(OPENERS as usize) {
        let mut connection = load.dialer.dial().await.with_context(|| format!("connection {which}"))?;
        exchange(&load, &mut connection, &mut scratch).await.with_context(|| format!("connection {which}"))?;
        held.push(connection);
    }
    Ok(held)
}

async fn use_again(load: Rc<Load>, held: Vec<Connection>) -> Result<()> {
    let mut scratch = vec![0; SCRATCH];
    // All stay open until the last was used.
    let mut held = held;
    for connection in &mut held {
        exchange(&load, connection, &mut scratch).await.context("a connection that had idled")?;
    }
    Ok(())
}

async fn exchange(load: &Load, connection: &mut Connection, scratch: &mut [u8]) -> Result<()> {
    connection.exchange(scratch, &load.request, load.expected.as_bytes()).await?;
    load.meter.requests.set(load.meter.requests.get() + 1);
    Ok(())
}

/// Waits for the end of stdin, on a thread of its own that nobody has to join.
async fn go() -> Result<()> {
    let (done, wait) = oneshot::channel();
    thread::spawn(move || {
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // The receiver is gone only when the load was given up.
        done.send(ended).ok();
    });
    wait.await?.map(drop).context("stdin")
}

//! Clients at work in the background, who notice a lost request. Half of them open a connection for each request, as `curl` does; the
//! others keep theirs and, as clients do, ask once more on a new one when a kept one was closed without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Connection, Request, Response, send};

use crate::{SOON, wait_until};

/// Between a client's requests: the machine is not theirs alone.
const BETWEEN: Duration = Duration::from_millis(10);
const CLIENTS: usize = 4;

/// Clients at work.
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Traffic {
    /// Starts clients that must be answered with 200 every time.
    ///
    /// # Errors
    /// When the first requests are not answered.
    pub fn start(address: SocketAddr, request: &Request) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let client = |nth: usize| {
            let (shared, request) = (Arc::clone(&shared), request.clone().header("x-client", &nth.to_string()));
            std::thread::spawn(move || work(&shared, nth.is_multiple_of(2), address, &request))
        };
        let traffic = Self { clients: (0..CLIENTS).map(client).collect(), shared };
        traffic.goes_on(20)?;
        Ok(traffic)
    }

    /// Requests answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    ///
    /// # Errors
    /// When they are not.
    pub fn goes_on(&self, more: u64) -> Result<()> {
        let wanted = self.answered() + more;
        wait_until("requests are answered", SOON, || {
            ensure!(self.answered() >= wanted, "{} of {wanted}", self.answered());
            Ok(())
        })
    }

    /// Ends the clients; gives how many requests were answered.
    ///
    /// # Errors
    /// When one was lost.
    pub fn stop(mut self) -> Result<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            let worked = client.join().ok().context("a client panicked")?;
            worked.with_context(|| format!("a request was lost, after {} that were not", self.answered()))?;
        }
        Ok(self.answered())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn work(shared: &Shared, keeps: bool, address: SocketAddr, request: &Request) -> Result<()> {
    let mut kept = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let answer = if keeps { on_kept(&mut kept, address, request)? } else { send(address, request)? };
        ensure!(answer.status == 200 && answer.complete, "{} {}", answer.status, answer.text());
        shared.answered.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(BETWEEN);
    }
    Ok(())
}

fn on_kept(kept: &mut Option<Connection>, address: SocketAddr, request: &Request) -> Result<Response> {
    if let Some(mut connection) = kept.take()
        && let Ok(answer) = connection.exchange(request)
    {
        *kept = (answer.head.header("connection") != Some("close")).then_some(connection);
        return Ok(answer);
    }
    let mut connection = Connection::open(address)?;
    let answer = connection.exchange(request)?;
    *kept = (answer.head.header("connection") != Some("close")).then_some(connection);
    Ok(answer)
}

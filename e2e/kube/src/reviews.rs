//! Attempts all the time, for which the API server must ask the webhook: in bursts, so that it opens connections as well as keeping some.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use kube::Client;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{Attempt, Cluster, SOON, wait_until};

/// Reviews under way, each of which must let the attempt in.
pub struct Reviews<'c> {
    cluster: &'c Cluster,
    shared: Arc<Shared>,
    work: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    allowed: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

impl<'c> Reviews<'c> {
    /// Starts: so many attempts side by side, then a pause, and again.
    ///
    /// # Errors
    /// When the first are not let in.
    pub fn start(cluster: &'c Cluster, attempt: &Attempt, burst: usize, pause: Duration) -> Result<Self> {
        wait_until("the webhook answers", SOON, || {
            (0..10).try_for_each(|_| {
                let answer = cluster.attempt(attempt)?;
                ensure!(answer.is_allowed(), "{answer:?}");
                Ok(())
            })
        })?;
        let shared = Arc::<Shared>::default();
        let work = work(Arc::clone(&shared), cluster.client(), attempt.clone(), burst, pause);
        let work = cluster.spawn(work);
        let reviews = Self { cluster, shared, work: Some(work) };
        wait_until("reviews are under way", SOON, || {
            ensure!(reviews.allowed() > 0, "{}", reviews.failure());
            Ok(())
        })?;
        Ok(reviews)
    }

    /// Attempts let in so far.
    #[must_use]
    pub fn allowed(&self) -> u64 {
        self.shared.allowed.load(Ordering::Relaxed)
    }

    fn failure(&self) -> String {
        self.shared.first_failure.lock().clone().unwrap_or_default()
    }

    /// Ends; gives how many were let in.
    ///
    /// # Errors
    /// When one was not.
    pub fn stop(mut self) -> Result<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(work) = self.work.take() {
            self.cluster.block_on(work)?;
        }
        let (allowed, failed) = (self.allowed(), self.shared.failed.load(Ordering::Relaxed));
        ensure!(failed == 0, "{failed} of {} were not let in; the first: {}", allowed + failed, self.failure());
        Ok(allowed)
    }
}

impl Drop for Reviews<'_> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

async fn work(shared: Arc<Shared>, client: Client, attempt: Attempt, burst: usize, pause: Duration) {
    while !shared.stop.load(Ordering::Relaxed) {
        for answer in join_all((0..burst).map(|_| attempt.send(&client))).await {
            let failure = match answer {
                Ok(answer) if answer.is_allowed() => {
                    shared.allowed.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Ok(answer) => format!("{} {}", answer.status, answer.message),
                Err(error) => format!("{error:#}"),
            };
            shared.failed.fetch_add(1, Ordering::Relaxed);
            shared.first_failure.lock().get_or_insert(failure);
        }
        tokio::time::sleep(pause).await;
    }
}

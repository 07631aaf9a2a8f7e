//! The lease: one replica writes. It is taken over when its holder has not renewed it for its duration, by our own clock and no other's;
//! given back on a clean stop; and a holder that cannot renew it stops writing before anybody else may start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// A crash is noticed after this long.
const DURATION: Duration = Duration::from_secs(10);
/// A holder that could not renew for so long stops writing.
const DEADLINE: Duration = Duration::from_secs(7);
const PERIOD: Duration = Duration::from_secs(2);
/// How often a replica that waits looks, so that a lease given back is taken at once.
const LOOK: Duration = Duration::from_millis(500);
/// A renewal that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// This replica's part in the election.
pub struct Leadership {
    leading: watch::Receiver<bool>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Leadership {
    /// Stands for election until released.
    pub fn start(client: Client, namespace: &str, lease: &str, identity: &str, metrics: Arc<Metrics>) -> Self {
        let (sender, leading) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidate = Candidate {
            leases: Api::namespaced(client, namespace),
            name: lease.to_owned(),
            identity: identity.to_owned(),
            seen: Observed::default(),
        };
        let task = tokio::spawn(candidate.stand(sender, stop.clone(), metrics));
        Self { leading, stop, task }
    }

    /// Whether this replica writes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Gives the lease back, so that another replica takes it at once.
    pub async fn release(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}

struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    seen: Observed,
}

/// The lease as it was last seen to change, and when that was by our clock.
#[derive(Default)]
struct Observed {
    record: Option<(Option<String>, Option<MicroTime>)>,
    at: Option<Instant>,
}

/// What to do about a lease.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    Wait,
    Take,
    Renew,
}

impl Observed {
    /// Decides, and remembers what was seen.
    fn decide(&mut self, spec: &LeaseSpec, identity: &str, now: Instant) -> Move {
        let holder = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty());
        if holder == Some(identity) {
            return Move::Renew;
        }
        let record = (spec.holder_identity.clone(), spec.renew_time.clone());
        if self.record.as_ref() != Some(&record) {
            self.record = Some(record);
            self.at = Some(now);
        }
        let expired = self.at.is_some_and(|at| now.duration_since(at) >= DURATION);
        if holder.is_none() || expired { Move::Take } else { Move::Wait }
    }
}

impl Candidate {
    async fn stand(mut self, leading: watch::Sender<bool>, stop: CancellationToken, metrics: Arc<Metrics>) {
        let mut renewed: Option<Instant> = None;
        loop {
            let began = Instant::now();
            match self.try_for_it(began).await {
                Some(true) => renewed = Some(began),
                Some(false) => renewed = None,
                None => {}
            }
            let leads = renewed.is_some_and(|at| at.elapsed() < DEADLINE);
            if leading.send_if_modified(|led| std::mem::replace(led, leads) != leads) {
                self.announce(leads, &metrics);
            }
            let pause = if leads { PERIOD } else { LOOK };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        if leading.send_replace(false) {
            self.give_back().await;
        }
    }

    fn announce(&self, leads: bool, metrics: &Metrics) {
        tracing::info!(lease.name = self.name, leads, "leadership changed");
        metrics.leader.set(i64::from(leads));
    }

    /// Whether the lease is ours now; `None`: nobody knows.
    async fn try_for_it(&mut self, now: Instant) -> Option<bool> {
        let tried = tokio::time::timeout(PATIENCE, self.attempt(now)).await;
        let problem = match tried {
            Ok(Ok(ours)) => return Some(ours),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the API server did not answer in time".to_owned(),
        };
        tracing::warn!(error = problem, lease.name = self.name, "the lease cannot be had or renewed");
        None
    }

    /// Whether the lease is ours now.
    async fn attempt(&mut self, now: Instant) -> kube::Result<bool> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            return self.write(self.leases.create(&PostParams::default(), &self.lease(None)).await);
        };
        match self.seen.decide(lease.spec.as_ref().unwrap_or(&LeaseSpec::default()), &self.identity, now) {
            Move::Wait => Ok(false),
            Move::Take | Move::Renew => {
                let ours = self.lease(Some(&lease));
                self.write(self.leases.replace(&self.name, &PostParams::default(), &ours).await)
            }
        }
    }

    /// Somebody else was faster: that is no error.
    fn write(&self, written: kube::Result<Lease>) -> kube::Result<bool> {
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lease as ours; the resource version of what was seen makes the write fail when it has changed.
    fn lease(&self, seen: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = seen.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let was_ours = before.holder_identity.as_deref() == Some(&self.identity);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: before.acquire_time.clone().filter(|_| was_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!was_ours && seen.is_some())),
            ..LeaseSpec::default()
        };
        let resource_version = seen.and_then(|lease| lease.metadata.resource_version.clone());
        Lease { metadata: ObjectMeta { name: Some(self.name.clone()), resource_version, ..ObjectMeta::default() }, spec: Some(spec) }
    }

    async fn give_back(&self) {
        let given = async {
            let mut lease = self.leases.get(&self.name).await?;
            if let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity)) {
                spec.holder_identity = None;
                self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Err(error) = given.await {
            tracing::warn!(%error, lease.name = self.name, "the lease could not be given back: another replica waits until it ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(by: &str, renewed: i64) -> LeaseSpec {
        let renew_time = Some(MicroTime(Timestamp::from_second(renewed).unwrap()));
        LeaseSpec { holder_identity: Some(by.to_owned()), renew_time, ..LeaseSpec::default() }
    }

    #[test]
    fn takes_over_only_after_the_holder_was_silent_for_the_whole_duration() {
        let (mut seen, start) = (Observed::default(), Instant::now());
        assert_eq!(seen.decide(&held("other", 1), "me", start), Move::Wait);
        assert_eq!(seen.decide(&held("other", 2), "me", start + DURATION), Move::Wait);
        assert_eq!(seen.decide(&held("other", 2), "me", start + DURATION * 2 - Duration::from_millis(1)), Move::Wait);
        assert_eq!(seen.decide(&held("other", 2), "me", start + DURATION * 2), Move::Take);
    }

    #[test]
    fn takes_what_was_given_back_at_once_and_renews_its_own() {
        let (mut seen, now) = (Observed::default(), Instant::now());
        assert_eq!(seen.decide(&LeaseSpec::default(), "me", now), Move::Take);
        assert_eq!(seen.decide(&held("me", 1), "me", now), Move::Renew);
    }

    #[test]
    fn a_holder_stops_before_another_may_start() {
        // The last good renewal, a pause, a failed try, a pause, a failed try.
        assert!(PERIOD + PATIENCE + PERIOD + PATIENCE < DURATION && DEADLINE < DURATION);
    }
}

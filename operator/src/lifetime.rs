//! How long a config stream may go on: while its token is good, its pod is there and this replica runs. A peer that does not read its answers
//! cannot prolong that. It decides nothing else about streams.

use std::pin::Pin;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A stream whose token says no end ends after this: whoever is there proves again who it is.
const LONGEST: Duration = Duration::from_secs(3600);
/// So many answers may wait for the peer: one, and the last word about why the stream ends.
pub(crate) const WAITING: usize = 2;

/// Where a stream's answers go.
pub(crate) type Answers = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

/// What ends a stream from our side.
pub(crate) struct Lifetime {
    expired: Pin<Box<Sleep>>,
    pod_gone: CancellationToken,
    stop: CancellationToken,
}

/// Why a stream ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer left.
    Left,
    Told(Status),
}

impl Lifetime {
    /// Until the token ends, or this replica is told to stop.
    pub(crate) fn new(expires: Option<SystemTime>, stop: CancellationToken) -> Self {
        Self { expired: Box::pin(tokio::time::sleep(left(expires))), pod_gone: CancellationToken::new(), stop }
    }

    /// And no longer than the pod is there: `gone` is cancelled with it.
    pub(crate) fn of_pod(self, gone: CancellationToken) -> Self {
        Self { pod_gone: gone, ..self }
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> End {
        End::Told(tokio::select! {
            () = &mut self.expired => Status::unauthenticated("the token has expired: connect again"),
            () = self.pod_gone.cancelled() => Status::unauthenticated("the pod is gone, and its token with it"),
            () = self.stop.cancelled() => Status::unavailable("this replica stops: connect again"),
        })
    }

    /// Sends an answer, unless the stream ends before the peer has room for it.
    pub(crate) async fn send(&mut self, answers: &Answers, answer: DeltaDiscoveryResponse) -> Result<(), End> {
        tokio::select! {
            biased;
            end = self.ended() => Err(end),
            sent = answers.send(Ok(answer)) => sent.map_err(|_| End::Left),
        }
    }
}

impl End {
    /// Says why, if the peer has read enough for that.
    pub(crate) fn tell(self, answers: &Answers) {
        if let Self::Told(status) = self {
            let _ = answers.try_send(Err(status));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a token's expiry is a time of day")]
fn left(expires: Option<SystemTime>) -> Duration {
    let Some(expires) = expires else { return LONGEST };
    expires.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_keeps_no_stream_open() {
        let (answers, _unread) = mpsc::channel(1);
        let gone = CancellationToken::new();
        let mut lifetime = Lifetime::new(None, CancellationToken::new()).of_pod(gone.clone());
        assert!(lifetime.send(&answers, DeltaDiscoveryResponse::default()).await.is_ok());
        let (end, ()) = tokio::join!(lifetime.send(&answers, DeltaDiscoveryResponse::default()), async { gone.cancel() });
        assert!(matches!(&end, Err(End::Told(status)) if status.code() == tonic::Code::Unauthenticated), "{end:?}");
        end.unwrap_err().tell(&answers);
    }

    #[tokio::test]
    async fn ends_with_the_token_and_when_this_replica_stops() {
        let expired = Lifetime::new(Some(SystemTime::UNIX_EPOCH), CancellationToken::new()).ended().await;
        assert!(matches!(expired, End::Told(status) if status.code() == tonic::Code::Unauthenticated));
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(matches!(Lifetime::new(None, stop).ended().await, End::Told(status) if status.code() == tonic::Code::Unavailable));
    }

    #[tokio::test]
    async fn a_peer_that_left_is_told_nothing() {
        let (answers, receiver) = mpsc::channel(1);
        drop(receiver);
        let mut lifetime = Lifetime::new(None, CancellationToken::new());
        assert!(matches!(lifetime.send(&answers, DeltaDiscoveryResponse::default()).await, Err(End::Left)));
    }
}

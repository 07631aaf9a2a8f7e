//! Acknowledgements across replicas. Proxies are connected to any replica, but one writes `Programmed`: so every replica tells the others what
//! the proxies connected to it have acknowledged, by the protocol that proxies speak, with a type of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use translate::ObjectKey;

use crate::lifetime::{self, End, Lifetime};

/// The type of these resources. One has the name `namespace/gateway/pod`, and as version the digest that the pod acknowledged.
const TYPE_URL: &str = "type.googleapis.com/keyward.dev.v1.Ack";
const RETRY: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A proxy has what this digest stands for. That stays true until it acknowledges another: a proxy never goes back by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) gateway: ObjectKey,
    pub(crate) pod: String,
    pub(crate) digest: String,
}

/// What the proxies connected here have acknowledged, for the other replicas.
pub(crate) struct Board {
    acks: Mutex<BTreeMap<String, (u64, String)>>,
    changes: watch::Sender<u64>,
}

impl Default for Board {
    fn default() -> Self {
        Self { acks: Mutex::default(), changes: watch::Sender::new(0) }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;
type Requests = BoxStream<'static, Result<DeltaDiscoveryRequest, Status>>;

impl Board {
    pub(crate) fn note(&self, ack: &Ack) {
        let change = *self.changes.borrow() + 1;
        self.acks.lock().insert(format!("{}/{}", ack.gateway, ack.pod), (change, ack.digest.clone()));
        self.changes.send_replace(change);
    }

    /// A pod is gone, or connected elsewhere: what it said here is not the last that it said.
    pub(crate) fn forget(&self, gateway: &ObjectKey, pod: &str) {
        self.acks.lock().remove(&format!("{gateway}/{pod}"));
    }

    /// A Gateway is gone, and with it its pods.
    pub(crate) fn forget_all(&self, gateway: &ObjectKey) {
        let prefix = format!("{gateway}/");
        self.acks.lock().retain(|name, _| !name.starts_with(&prefix));
    }

    /// Tells another replica everything, then what changes, for as long as it may listen. It has nothing to acknowledge.
    pub(crate) fn serve(self: &Arc<Self>, requests: Requests, mut lifetime: Lifetime) -> Answers {
        let (answers, receiver) = mpsc::channel(lifetime::WAITING);
        let board = Arc::clone(self);
        tokio::spawn(async move { board.tell(requests, &answers, &mut lifetime).await.tell(&answers) });
        ReceiverStream::new(receiver).boxed()
    }

    async fn tell(&self, mut requests: Requests, answers: &lifetime::Answers, lifetime: &mut Lifetime) -> End {
        let (mut changes, mut told) = (self.changes.subscribe(), 0);
        loop {
            let (answer, now) = self.since(told);
            told = now;
            if !answer.resources.is_empty()
                && let Err(end) = lifetime.send(answers, answer).await
            {
                return end;
            }
            tokio::select! {
                request = requests.next() => if !matches!(request, Some(Ok(_))) { return End::Left },
                changed = changes.changed() => if changed.is_err() { return End::Left },
                end = lifetime.ended() => return end,
            }
        }
    }

    fn since(&self, told: u64) -> (DeltaDiscoveryResponse, u64) {
        let acks = self.acks.lock();
        let new = acks.iter().filter(|(_, (change, _))| *change > told);
        let resource = |(name, (_, digest)): (&String, &(u64, String))| Resource {
            name: name.clone(),
            version: digest.clone(),
            ..Resource::default()
        };
        let resources = new.map(resource).collect();
        let last = acks.values().map(|(change, _)| *change).max().unwrap_or_default().max(told);
        (DeltaDiscoveryResponse { resources, type_url: TYPE_URL.to_owned(), ..DeltaDiscoveryResponse::default() }, last)
    }
}

/// How other replicas are reached.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    pub(crate) port: u16,
    /// The name on their certificates.
    pub(crate) server_name: String,
    /// This replica's own token.
    pub(crate) token_file: PathBuf,
}

/// Follows the acknowledgements of every other replica, with the replica's address.
pub(crate) async fn follow(
    mut peers: watch::Receiver<BTreeSet<IpAddr>>,
    settings: PeerSettings,
    bundle: watch::Receiver<String>,
    acks: mpsc::Sender<Ack>,
    stop: CancellationToken,
) {
    let mut following: HashMap<IpAddr, CancellationToken> = HashMap::new();
    loop {
        let wanted = peers.borrow_and_update().clone();
        following.retain(|peer, token| {
            let keep = wanted.contains(peer);
            if !keep {
                token.cancel();
            }
            keep
        });
        for peer in wanted {
            following.entry(peer).or_insert_with(|| {
                let token = stop.child_token();
                let one = Peer { address: peer, settings: settings.clone(), bundle: bundle.clone(), acks: acks.clone() };
                let stopped = token.clone();
                tokio::spawn(async move { stopped.run_until_cancelled(one.follow()).await });
                token
            });
        }
        if stop.run_until_cancelled(peers.changed()).await.is_none_or(|changed| changed.is_err()) {
            return;
        }
    }
}

struct Peer {
    address: IpAddr,
    settings: PeerSettings,
    bundle: watch::Receiver<String>,
    acks: mpsc::Sender<Ack>,
}

impl Peer {
    async fn follow(self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(peer.address = %self.address, error = format!("{error:#}"), "another replica cannot be followed, trying again");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen(&self) -> anyhow::Result<()> {
        let token = std::fs::read_to_string(&self.settings.token_file)?;
        let mut client = AggregatedDiscoveryServiceClient::new(self.connect().await?);
        let first = DeltaDiscoveryRequest { type_url: TYPE_URL.to_owned(), ..DeltaDiscoveryRequest::default() };
        // The stream of requests stays open for as long as answers are wanted.
        let requests = futures::stream::once(async { first }).chain(futures::stream::pending());
        let mut request = Request::new(requests);
        request.metadata_mut().insert("authorization", format!("Bearer {}", token.trim()).parse()?);
        let mut answers = client.delta_aggregated_resources(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            for ack in answer.resources.into_iter().filter_map(read) {
                self.acks.send(ack).await?;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> anyhow::Result<Channel> {
        let host = match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let roots = Certificate::from_pem(self.bundle.borrow().as_bytes());
        let tls = ClientTlsConfig::new().ca_certificate(roots).domain_name(&self.settings.server_name);
        let endpoint = Endpoint::from_shared(format!("https://{host}:{}", self.settings.port))?.tls_config(tls)?;
        let endpoint = endpoint.connect_timeout(KEEPALIVE).http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
        Ok(endpoint.keep_alive_while_idle(true).connect().await?)
    }
}

fn read(resource: Resource) -> Option<Ack> {
    let mut parts = resource.name.splitn(3, '/');
    let (namespace, gateway, pod) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Ack { gateway: ObjectKey::new(namespace, gateway), pod: pod.to_owned(), digest: resource.version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(pod: &str, digest: &str) -> Ack {
        Ack { gateway: ObjectKey::new("ns", "gw"), pod: pod.to_owned(), digest: digest.to_owned() }
    }

    #[test]
    fn tells_everything_first_and_then_what_changed() {
        let board = Board::default();
        board.note(&ack("a", "1"));
        board.note(&ack("b", "1"));
        let (first, told) = board.since(0);
        assert_eq!(first.resources.len(), 2);
        board.note(&ack("a", "2"));
        let (next, _) = board.since(told);
        assert_eq!(next.resources.into_iter().filter_map(read).collect::<Vec<_>>(), [ack("a", "2")]);
    }

    #[tokio::test]
    async fn a_replica_listens_no_longer_than_its_token_is_good() {
        let (board, stop) = (Arc::new(Board::default()), CancellationToken::new());
        board.note(&ack("a", "1"));
        let mut answers = board.serve(futures::stream::pending().boxed(), Lifetime::new(None, stop.clone()));
        assert_eq!(answers.next().await.unwrap().unwrap().resources.len(), 1);
        stop.cancel();
        assert!(answers.next().await.unwrap().is_err() && answers.next().await.is_none());
    }
}

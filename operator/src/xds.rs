//! The config channel: delta xDS to proxies, each of which gets its own Gateway's configuration and nothing else; and the same
//! acknowledgements once more for the other replicas ([`crate::peers`]).

mod proxy_stream;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use futures::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use translate::ObjectKey;

use crate::authenticate::{AuthError, Authenticator, Identity};
use crate::lifetime::{self, Lifetime};
use crate::metrics::Metrics;
use crate::peers::{self, Ack};
use crate::pods::Pods;
use crate::publish::Publisher;

use proxy_stream::ProxyStream;

/// How long a connection may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A proxy that is partitioned away is noticed by pings.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// A proxy that comes back names everything that it has.
const LARGEST_REQUEST: usize = 64 << 20;

type Answers = Pin<Box<dyn Stream<Item = Result<DeltaDiscoveryResponse, Status>> + Send>>;

/// What the service needs of the rest.
#[derive(Clone)]
pub(crate) struct ConfigService {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether everything that exists was seen: until then nobody is told anything.
    pub(crate) synced: tokio::sync::watch::Receiver<bool>,
    /// Acks of the proxies connected here.
    pub(crate) acks: mpsc::Sender<Ack>,
    /// The same for other replicas.
    pub(crate) board: Arc<peers::Board>,
    /// A stream of one of these ends with it.
    pub(crate) pods: Arc<Pods>,
    /// The ServiceAccount of the operator's replicas.
    pub(crate) own_account: ObjectKey,
    pub(crate) stop: CancellationToken,
}

/// Serves until told to stop; then streams end at once, so that proxies go to another replica.
pub(crate) async fn serve(address: SocketAddr, tls: Arc<rustls::ServerConfig>, service: ConfigService) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let stop = service.stop.clone();
    let incoming = connections(listener, TlsAcceptor::from(tls), stop.clone());
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .tcp_nodelay(true)
        .add_service(AggregatedDiscoveryServiceServer::new(service).max_decoding_message_size(LARGEST_REQUEST));
    server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()).await?;
    Ok(())
}

type Connection = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

/// Handshakes run side by side: one that hangs holds nobody up.
fn connections(listener: TcpListener, tls: TlsAcceptor, stop: CancellationToken) -> ReceiverStream<std::io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (tls, sender) = (tls.clone(), sender.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                    Ok(Err(error)) => tracing::debug!(%error, "a handshake on the config channel failed"),
                    Err(_) => tracing::debug!("a handshake on the config channel took too long"),
                }
            });
        }
    });
    ReceiverStream::new(receiver)
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for ConfigService {
    type StreamAggregatedResourcesStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type DeltaAggregatedResourcesStream = Answers;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only delta xDS is served"))
    }

    async fn delta_aggregated_resources(&self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Result<Response<Answers>, Status> {
        if !*self.synced.borrow() {
            return Err(Status::unavailable("the operator has not seen everything yet"));
        }
        let identity = self.identify(&request).await?;
        let account = ObjectKey::new(&identity.namespace, &identity.service_account);
        let requests = request.into_inner();
        if account == self.own_account {
            let lifetime = Lifetime::new(identity.expires, self.stop.clone());
            return Ok(Response::new(self.board.serve(requests.boxed(), lifetime)));
        }
        let gateway = self.publisher.gateway_of(&account);
        let gateway = gateway.ok_or_else(|| Status::permission_denied(format!("ServiceAccount {account} is no Gateway's")))?;
        self.stream(gateway, identity, requests)
    }
}

impl ConfigService {
    async fn identify<T>(&self, request: &Request<T>) -> Result<Identity, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Status::unauthenticated("a ServiceAccount token of audience keyward.dev/xds is needed"))?;
        self.authenticator.review(token).await.map_err(|error| match error {
            AuthError::Rejected(_) => Status::unauthenticated(error.to_string()),
            AuthError::Unavailable(_) => Status::unavailable(error.to_string()),
        })
    }

    fn stream(
        &self,
        gateway: ObjectKey,
        identity: Identity,
        requests: Streaming<DeltaDiscoveryRequest>,
    ) -> Result<Response<Answers>, Status> {
        let published = self.publisher.published(&gateway);
        let published = published.ok_or_else(|| Status::unavailable(format!("Gateway {gateway} is not accepted: see its status")))?;
        let gone = self.pods.end_of(&identity).ok_or_else(|| {
            let Identity { namespace, pod, .. } = &identity;
            Status::unavailable(format!("pod {namespace}/{pod} is no proxy of Gateway {gateway} that this replica has seen: connect again"))
        })?;
        let lifetime = Lifetime::new(identity.expires, self.stop.clone()).of_pod(gone);
        let (answers, receiver) = mpsc::channel(lifetime::WAITING);
        let stream = ProxyStream::new(gateway, identity.pod, published, self);
        tokio::spawn(stream.run(requests.boxed(), answers, lifetime));
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }
}

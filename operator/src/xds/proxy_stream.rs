//! One proxy's stream: what it has, what it was told and has not acknowledged, what it refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use envoy_types::pb::google::protobuf::Any;
use futures::StreamExt;
use futures::stream::BoxStream;
use policy::wire::{TYPE_URL, encode_one};
use tokio::sync::mpsc;
use tonic::Status;
use translate::ObjectKey;

use super::ConfigService;
use crate::lifetime::{Answers, End, Lifetime};
use crate::metrics::Metrics;
use crate::peers::{Ack, Board};
use crate::publish::{Batch, Published};

pub(super) type Requests = BoxStream<'static, Result<DeltaDiscoveryRequest, Status>>;

pub(super) struct ProxyStream {
    gateway: ObjectKey,
    pod: String,
    published: std::sync::Weak<Published>,
    revisions: tokio::sync::watch::Receiver<u64>,
    acks: mpsc::Sender<Ack>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    /// What the proxy said it had, until it acknowledges something of ours.
    initial: HashMap<String, String>,
    /// Everything up to here was acknowledged. `None`: the proxy has not said what it has; 0: it has, and acknowledged nothing yet.
    acknowledged: Option<u64>,
    outstanding: Option<Outstanding>,
    /// What it refused: it is told nothing until there is something newer.
    refused: Option<u64>,
    nonce: u64,
}

struct Outstanding {
    nonce: String,
    revision: u64,
    digest: String,
    sent: Instant,
}

impl ProxyStream {
    /// It holds the configuration only weakly: a Gateway that is gone ends its streams.
    pub(super) fn new(gateway: ObjectKey, pod: String, published: Arc<Published>, service: &ConfigService) -> Self {
        Self {
            gateway,
            pod,
            revisions: published.follow(),
            published: Arc::downgrade(&published),
            acks: service.acks.clone(),
            board: Arc::clone(&service.board),
            metrics: Arc::clone(&service.metrics),
            initial: HashMap::new(),
            acknowledged: None,
            outstanding: None,
            refused: None,
            nonce: 0,
        }
    }

    pub(super) async fn run(mut self, mut requests: Requests, answers: Answers, mut lifetime: Lifetime) {
        self.metrics.xds_clients.inc();
        self.say("a proxy is connected");
        self.converse(&mut requests, &answers, &mut lifetime).await.tell(&answers);
        self.board.forget(&self.gateway, &self.pod);
        self.say("a proxy is disconnected");
        self.metrics.xds_clients.dec();
    }

    fn say(&self, what: &str) {
        tracing::info!(gateway = %self.gateway, proxy.pod = self.pod, "{what}");
    }

    async fn converse(&mut self, requests: &mut Requests, answers: &Answers, lifetime: &mut Lifetime) -> End {
        loop {
            let said = match self.turn(requests, lifetime).await {
                Ok(None) => Ok(()),
                Ok(Some(batch)) => lifetime.send(answers, self.answer(batch)).await,
                Err(end) => Err(end),
            };
            if let Err(end) = said {
                return end;
            }
        }
    }

    /// The next thing that happens; gives what there is to tell then.
    async fn turn(&mut self, requests: &mut Requests, lifetime: &mut Lifetime) -> Result<Option<Batch>, End> {
        let told = tokio::select! {
            request = requests.next() => self.hear(request.ok_or(End::Left)?).await,
            changed = self.revisions.changed() => changed.map_err(|_| Status::not_found("the Gateway is gone")).and_then(|()| self.news()),
            end = lifetime.ended() => return Err(end),
        };
        told.map_err(End::Told)
    }

    /// A first request, an ACK or a NACK.
    async fn hear(&mut self, request: Result<DeltaDiscoveryRequest, Status>) -> Result<Option<Batch>, Status> {
        let request = request.inspect_err(|error| self.say(&format!("a proxy's stream broke off: {error}")))?;
        if request.type_url != TYPE_URL {
            return Err(Status::invalid_argument("only resources of Keyward are served: see type_url"));
        }
        if self.acknowledged.is_none() {
            let Some(published) = self.published.upgrade() else { return Err(Status::not_found("the Gateway is gone")) };
            self.acknowledged = Some(0);
            self.initial = request.initial_resource_versions;
            return Ok(Some(published.difference(&self.initial)));
        }
        let Some(outstanding) = self.outstanding.take_if(|outstanding| outstanding.nonce == request.response_nonce) else {
            return Ok(None);
        };
        match request.error_detail {
            None => {
                self.metrics.ack_seconds.observe(outstanding.sent.elapsed().as_secs_f64());
                self.acknowledged = Some(outstanding.revision);
                self.initial = HashMap::new();
                self.refused = None;
                let ack = Ack { gateway: self.gateway.clone(), pod: self.pod.clone(), digest: outstanding.digest };
                let _ = self.acks.send(ack).await;
            }
            Some(error) => {
                self.metrics.xds_nacks.inc();
                tracing::error!(gateway = %self.gateway, proxy.pod = self.pod, error = error.message, "a proxy refused its configuration");
                self.refused = Some(outstanding.revision);
            }
        }
        self.news()
    }

    /// What there is to tell now, if anything may be told.
    fn news(&mut self) -> Result<Option<Batch>, Status> {
        let (Some(since), None) = (self.acknowledged, &self.outstanding) else { return Ok(None) };
        let Some(published) = self.published.upgrade() else { return Err(Status::not_found("the Gateway is gone")) };
        let batch = match since {
            // It refused what it was told first: what it is to drop is known only by what it said it has.
            0 => published.difference(&self.initial),
            _ => published.since(since).map_err(|_| Status::aborted("too far behind: connect again"))?,
        };
        let refused = self.refused.is_some_and(|refused| batch.revision <= refused);
        Ok((!batch.is_empty() && !refused).then_some(batch))
    }

    fn answer(&mut self, batch: Batch) -> DeltaDiscoveryResponse {
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let resources = batch.upsert.iter().filter_map(|(named, version)| {
            let value = encode_one(named).ok()?;
            let resource = Some(Any { type_url: TYPE_URL.to_owned(), value });
            Some(Resource { name: named.xds_name(), version: version.clone(), resource, ..Resource::default() })
        });
        let answer = DeltaDiscoveryResponse {
            system_version_info: batch.revision.to_string(),
            resources: resources.collect(),
            removed_resources: batch.remove,
            type_url: TYPE_URL.to_owned(),
            nonce: nonce.clone(),
            ..DeltaDiscoveryResponse::default()
        };
        self.outstanding = Some(Outstanding { nonce, revision: batch.revision, digest: batch.digest, sent: Instant::now() });
        answer
    }
}

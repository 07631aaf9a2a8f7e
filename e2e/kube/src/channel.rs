//! A proxy's side of the config channel, for what a proxy would not do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RefusedBecause;
use policy::wire::TYPE_URL;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::{Cluster, Kind, Namespace, SYSTEM};

const NAME: &str = "keyward-operator.keyward-system.svc";
const PORT: u16 = 18000;
const PATIENCE: Duration = Duration::from_secs(10);

/// An open stream.
pub struct Channel<'c> {
    cluster: &'c Cluster,
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    answers: Streaming<DeltaDiscoveryResponse>,
}

impl<'c> Channel<'c> {
    /// Opens a stream as the proxies of a Gateway do, whose infrastructure has the name `infra`, with this token.
    ///
    /// # Errors
    /// The outer one when the operator cannot be reached; the inner one is its refusal.
    pub fn open(namespace: &Namespace<'c>, infra: &str, token: Option<&str>) -> Result<Result<Self, Status>> {
        let cluster = namespace.cluster();
        let trusted = namespace.get(Kind::CONFIG_MAP, infra)?;
        let ca = trusted.pointer("/data/ca.crt").and_then(|ca| ca.as_str()).context("no ca.crt")?.to_owned();
        let address = cluster.service_address(SYSTEM, "keyward-operator", PORT)?;
        let (requests, receiver) = mpsc::unbounded_channel();
        requests.send(first()).ok().context("nobody receives")?;
        let mut request = Request::new(UnboundedReceiverStream::new(receiver));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        let answer = cluster.block_on(async {
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name(NAME);
            let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?.connect_timeout(PATIENCE);
            let mut client = AggregatedDiscoveryServiceClient::new(endpoint.connect().await?);
            let answer = tokio::time::timeout(PATIENCE, client.delta_aggregated_resources(request)).await;
            answer.context("the operator did not answer")
        })?;
        Ok(answer.map(|answer| Self { cluster, requests, answers: answer.into_inner() }))
    }

    /// The next response.
    ///
    /// # Errors
    /// When none comes.
    pub fn response(&mut self) -> Result<DeltaDiscoveryResponse> {
        let (cluster, answers) = (self.cluster, &mut self.answers);
        let answer = cluster.block_on(async { tokio::time::timeout(PATIENCE, answers.message()).await });
        answer.context("no response came")??.context("the operator ended the stream")
    }

    /// How the operator ends the stream; what it tells before that is passed over.
    ///
    /// # Errors
    /// When the stream goes on.
    pub fn end(&mut self, within: Duration) -> Result<Status> {
        let (cluster, answers) = (self.cluster, &mut self.answers);
        let ended = async {
            loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status),
                }
            }
        };
        let ended = cluster.block_on(async { tokio::time::timeout(within, ended).await });
        ended.context("the stream goes on")?.context("the stream ended without a word")
    }

    /// Accepts a response.
    ///
    /// # Errors
    /// When the stream has ended.
    pub fn ack(&self, answer: &DeltaDiscoveryResponse) -> Result<()> {
        self.answer(answer, None)
    }

    /// Refuses a response.
    ///
    /// # Errors
    /// When the stream has ended.
    pub fn nack(&self, answer: &DeltaDiscoveryResponse, message: &str) -> Result<()> {
        let why = RefusedBecause { code: Code::InvalidArgument as i32, message: message.to_owned(), details: Vec::new() };
        self.answer(answer, Some(why))
    }

    fn answer(&self, answer: &DeltaDiscoveryResponse, error_detail: Option<RefusedBecause>) -> Result<()> {
        let (type_url, response_nonce) = (TYPE_URL.to_owned(), answer.nonce.clone());
        let request = DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..DeltaDiscoveryRequest::default() };
        self.requests.send(request).ok().context("the stream has ended")
    }
}

/// Asks for everything.
fn first() -> DeltaDiscoveryRequest {
    let (type_url, resource_names_subscribe) = (TYPE_URL.to_owned(), vec!["*".to_owned()]);
    DeltaDiscoveryRequest { type_url, resource_names_subscribe, ..DeltaDiscoveryRequest::default() }
}

/// What a response brings: the text of each resource by its name.
#[must_use]
pub fn resources(answer: &DeltaDiscoveryResponse) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = |one: &envoy_types::pb::envoy::service::discovery::v3::Resource| one.resource.as_ref().map(|any| text(&any.value));
    answer.resources.iter().map(|one| (one.name.clone(), value(one).unwrap_or_default())).collect()
}

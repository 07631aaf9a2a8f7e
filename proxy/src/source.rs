//! The configuration channel: delta xDS from the control plane, over TLS, as the ServiceAccount that the token names. One response is one
//! change, applied whole and acknowledged, or refused whole. Whatever happens to the stream, the last good configuration stays in force.
//!
//! ```text
//! dial (CA and token read anew) ─► request what differs from what is held ─► response ─► Server::apply_delta ─► ack | nack
//!   └────────────── at once, then with growing pauses ◄────────── the stream ends ───────────────────────┘
//! ```
//!
//! Runs on the runtime of whoever calls [`Source::follow`], and applies there; the workers' threads never wait for it. No line of a log
//! has a value of a resource, or the token.

mod backoff;
mod change;
mod dial;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::rpc::Status as RefusedBecause;
use foldhash::fast::RandomState;
use policy::wire::TYPE_URL;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;

use crate::server::{ApplyError, Server};
use backoff::Backoff;
use change::Change;
pub use dial::{AddressError, XdsAddress};

/// Bytes of one response: a whole configuration is one.
const LARGEST_RESPONSE: usize = 1 << 30;
/// What the control plane gets to look at the token and open the stream.
const OPENING: Duration = Duration::from_secs(10);
/// A stream that lasted so long was not refused: the next attempt comes at once.
const STEADY: Duration = Duration::from_secs(1);

/// Where the control plane is, and how each side knows the other. Both files are read at every attempt to connect: they are rotated.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// Where.
    pub address: XdsAddress,
    /// PEM file of the authorities that its certificate must be from; no others count.
    pub ca: PathBuf,
    /// File of the token that says who we are. It is sent after the certificate was verified, and never otherwise.
    pub token: PathBuf,
    /// Our name, for people: the pod's.
    pub node: String,
}

/// Why there is no stream, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("--xds-ca: {0}")]
    Ca(String),
    #[error("--xds-token: {0}")]
    Token(String),
    #[error("the control plane's name cannot be resolved: {0}")]
    Dns(String),
    #[error("the control plane cannot be reached: {0}")]
    Connect(String),
    #[error("the control plane's certificate could not be verified, or TLS failed, and no token was sent: {0}")]
    Tls(String),
    #[error("the control plane does not speak HTTP/2: {0}")]
    Http2(#[from] tonic::transport::Error),
    #[error("the control plane says {:?}: {}", .0.code(), .0.message())]
    Status(#[from] tonic::Status),
    #[error("the control plane did not answer in time")]
    Silent,
    #[error("the control plane ended the stream")]
    Ended,
}

/// Follows a control plane.
pub struct Source {
    plane: ControlPlane,
    /// Of every resource that is held, by its name on the channel.
    versions: HashMap<Box<str>, Box<str>, RandomState>,
    /// What cannot be served and was said already.
    said: BTreeSet<String>,
    /// Since when the stream is open.
    opened: Option<Instant>,
}

impl Source {
    /// Connects to nothing yet.
    pub fn new(plane: ControlPlane) -> Self {
        Self { plane, versions: HashMap::default(), said: BTreeSet::new(), opened: None }
    }

    /// Configures a proxy for as long as it is polled.
    pub async fn follow(&mut self, server: &mut Server) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.session(server).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            server.metrics().xds_connected.set(0);
            if self.opened.take().is_some_and(|since| since.elapsed() >= STEADY) {
                backoff.reset();
            }
            let pause = backoff.next(fastrand::f64());
            let retry = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(%error, xds.address = %self.plane.address, retry.milliseconds = retry, "not connected to the control plane");
            sleep(pause).await;
        }
    }

    /// One stream, from dialling to its end.
    async fn session(&mut self, server: &mut Server) -> Result<Infallible, SourceError> {
        let channel = dial::connect(&self.plane, &server.options().connect_to).await?;
        let (answers, requests) = mpsc::unbounded_channel();
        let _ = answers.send(self.first_request());
        let mut request = tonic::Request::new(UnboundedReceiverStream::new(requests));
        request.metadata_mut().insert("authorization", dial::bearer(&self.plane.token)?);
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(LARGEST_RESPONSE);
        let opened = timeout(OPENING, client.delta_aggregated_resources(request)).await.map_err(|_| SourceError::Silent)?;
        let mut responses = opened?.into_inner();
        self.opened = Some(Instant::now());
        server.metrics().xds_connected.set(1);
        tracing::info!(xds.address = %self.plane.address, "connected to the control plane");
        while let Some(response) = responses.message().await? {
            // Fails once the stream has ended, which the next message says better.
            let _ = answers.send(self.receive(server, response));
        }
        Err(SourceError::Ended)
    }

    /// Asks for everything, and says what is held, so that only the difference comes.
    fn first_request(&self) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: Some(Node { id: self.plane.node.clone(), user_agent_name: "keyward-proxy".to_owned(), ..Node::default() }),
            type_url: TYPE_URL.to_owned(),
            resource_names_subscribe: vec!["*".to_owned()],
            initial_resource_versions: self.versions.iter().map(|(name, version)| (name.to_string(), version.to_string())).collect(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// Applies a response; gives the acknowledgement, or the refusal with its reason.
    fn receive(&mut self, server: &mut Server, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        let response_nonce = response.nonce.clone();
        let applied = self.apply(server, response);
        server.metrics().xds_response(applied.is_ok());
        let error_detail = applied.err().map(|message| {
            tracing::error!(problem = message, "a configuration was refused; the last good one stays in force");
            RefusedBecause { code: Code::InvalidArgument as i32, message, details: Vec::new() }
        });
        DeltaDiscoveryRequest { type_url: TYPE_URL.to_owned(), response_nonce, error_detail, ..DeltaDiscoveryRequest::default() }
    }

    fn apply(&mut self, server: &mut Server, response: DeltaDiscoveryResponse) -> Result<(), String> {
        let Change { delta, versions } = Change::read(response)?;
        let removed = delta.remove.clone();
        let failed = server.apply_delta(delta).map_err(|error| error.to_string())?;
        for name in removed {
            self.versions.remove(name.as_str());
        }
        self.versions.extend(versions);
        self.say(&failed);
        Ok(())
    }

    /// Says what cannot be served; what is still so after the next change, such as a port that is taken, is not said again.
    fn say(&mut self, failed: &[ApplyError]) {
        let problems: BTreeSet<String> = failed.iter().map(ToString::to_string).collect();
        for problem in problems.difference(&self.said) {
            tracing::error!(problem, "a part of the configuration cannot be served; the rest is");
        }
        self.said = problems;
    }
}

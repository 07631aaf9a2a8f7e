//! A control plane that does what a test says, over TLS on loopback; and the proxy that follows it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use policy::wire::{Named, TYPE_URL, encode_one};
use proxy::{ConnectTo, ControlPlane, Options, Server, Source};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub const HOST: &str = "keyward-operator.keyward-system.svc";
const PATIENCE: Duration = Duration::from_secs(20);

/// Signs the control plane's certificate.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "control plane authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "control plane");
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// One stream, seen from the control plane.
pub struct Stream {
    pub authorization: String,
    requests: Streaming<DeltaDiscoveryRequest>,
    responses: mpsc::UnboundedSender<Result<DeltaDiscoveryResponse, Status>>,
}

impl Stream {
    pub async fn request(&mut self) -> DeltaDiscoveryRequest {
        timeout(PATIENCE, self.requests.message()).await.expect("a request in time").unwrap().expect("the stream goes on")
    }

    /// Sends a change; gives what the proxy answers.
    pub async fn change(&mut self, nonce: &str, upsert: &[Named], remove: &[&str]) -> DeltaDiscoveryRequest {
        let response = DeltaDiscoveryResponse {
            type_url: TYPE_URL.to_owned(),
            nonce: nonce.to_owned(),
            resources: upsert.iter().map(resource).collect(),
            removed_resources: remove.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        };
        self.responses.send(Ok(response)).unwrap();
        let answer = self.request().await;
        assert_eq!((answer.response_nonce.as_str(), answer.type_url.as_str()), (nonce, TYPE_URL));
        answer
    }

    /// As [`Self::change`], and the proxy must take it.
    pub async fn apply(&mut self, nonce: &str, upsert: &[Named], remove: &[&str]) {
        let answer = self.change(nonce, upsert, remove).await;
        assert_eq!(answer.error_detail, None);
    }
}

fn resource(named: &Named) -> Resource {
    let value = encode_one(named).unwrap();
    let version = format!("{:016x}", value.len());
    Resource { name: named.xds_name(), version, resource: Some(Any { type_url: TYPE_URL.to_owned(), value }), ..Resource::default() }
}

/// Listens until it is dropped with its runtime.
pub struct Plane {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<Stream>,
    handshakes_failed: Arc<AtomicUsize>,
}

impl Plane {
    pub async fn start(authority: &Authority) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (opened, streams) = mpsc::unbounded_channel();
        let handshakes_failed = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(socket, authority.acceptor(), opened, Arc::clone(&handshakes_failed)));
        Self { address, streams, handshakes_failed }
    }

    /// The next stream that a proxy opens.
    pub async fn stream(&mut self) -> Stream {
        timeout(PATIENCE, self.streams.recv()).await.expect("a stream in time").unwrap()
    }

    pub fn has_no_stream(&mut self) -> bool {
        self.streams.try_recv().is_err()
    }

    pub fn handshakes_failed(&self) -> usize {
        self.handshakes_failed.load(Ordering::Relaxed)
    }
}

async fn serve(socket: TcpListener, tls: TlsAcceptor, opened: mpsc::UnboundedSender<Stream>, failed: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (tls, failed) = (tls.clone(), Arc::clone(&failed));
        let service = TowerToHyperService::new(AggregatedDiscoveryServiceServer::new(Fake { opened: opened.clone() }));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                failed.fetch_add(1, Ordering::Relaxed);
                return;
            };
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Fake {
    opened: mpsc::UnboundedSender<Stream>,
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Fake {
    type StreamAggregatedResourcesStream = UnboundedReceiverStream<Result<DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = UnboundedReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only deltas"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (responses, sent) = mpsc::unbounded_channel();
        let _ = self.opened.send(Stream { authorization, requests: request.into_inner(), responses });
        Ok(Response::new(UnboundedReceiverStream::new(sent)))
    }
}

/// A proxy on a thread of its own, and its files.
pub struct Proxy {
    pub admin: SocketAddr,
    files: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    pub fn start(plane: &Plane, authority: &Authority) -> Self {
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("ca.crt"), &authority.pem).unwrap();
        std::fs::write(files.path().join("token"), "token-1\n").unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, admin) = std::sync::mpsc::channel();
        let (options, follows) = (options(plane.address), control_plane(files.path()));
        let thread = std::thread::spawn(move || {
            let mut server = Server::start(options).unwrap();
            started.send(server.admin_addr()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut source = Source::new(follows);
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    never = source.follow(&mut server) => match never {},
                }
            });
            drop(runtime);
            server.drain();
        });
        Self { admin: admin.recv().unwrap(), files, stop: Some(stop), thread: Some(thread) }
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.file(file), text).unwrap();
    }

    fn file(&self, file: &str) -> PathBuf {
        self.files.path().join(file)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the proxy panicked");
        }
    }
}

fn control_plane(files: &Path) -> ControlPlane {
    ControlPlane {
        address: format!("https://{HOST}:18000").parse().unwrap(),
        ca: files.join("ca.crt"),
        token: files.join("token"),
        node: "pod-1".to_owned(),
    }
}

fn options(plane: SocketAddr) -> Options {
    let seconds = Duration::from_secs;
    Options {
        bind: [127, 0, 0, 1].into(),
        admin_addr: ([127, 0, 0, 1], 0).into(),
        connect_to: vec![ConnectTo { from: (HOST.to_owned(), 18000), to: (plane.ip().to_string(), plane.port()) }],
        upstream_ca: Vec::new(),
        threads: 1,
        connect_timeout: seconds(5),
        first_byte_timeout: seconds(5),
        idle_timeout: seconds(5),
        header_timeout: seconds(5),
        drain_timeout: seconds(2),
    }
}

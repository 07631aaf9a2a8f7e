//! The effects of the control plane: it watches, has everything translated, serves the result to proxies, and writes what the cluster is to
//! have. What it all means, it does not know: that is `translate`.
//!
//! ```text
//! API server ─► watch ─► reading ─► engine ─► Translator ─┬─ configs ─► publish ─► xds ══ delta xDS ══► proxies
//!                                     ▲ ▲                 ├─ infra ──► apply ──┐         │ ack
//!                                     │ └── proxies ◄──── │ ──────────────────── │ ────────┤
//!                                     └──── peers ◄────── │ ── other replicas ◄─ │ ────────┘
//!                                                         ├─ statuses ► status ─┴─► API server (leader only)
//!                                                         └─ problems ► events ─────► API server (leader only)
//! ```
//!
//! Every replica watches, translates and serves; only the one with the lease writes ([`leader`]). Proxies prove who they are by a token
//! that is bound to their pod ([`authenticate`]) over TLS of the operator's own CA ([`pod::authority`]).

mod apply;
mod audit;
pub mod authenticate;
mod engine;
mod events;
mod http;
pub mod leader;
mod lifetime;
mod manifest;
pub mod metrics;
mod options;
mod peers;
mod pods;
mod proxies;
mod publish;
mod reading;
mod status;
mod watch;
mod xds;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use kube_runtime::watcher;
use pod::authority::Authority;
use pod::client::{self, watch_config};
use tokio::sync::{mpsc, watch as channel};
use tokio_util::sync::CancellationToken;
use translate::{Kind, Translator};

use crate::apply::{Infrastructure, MANAGED_BY, OWNED, Owned, owned_resource};
use crate::authenticate::Authenticator;
use crate::engine::{Engine, Input, Outlets};
use crate::events::Reports;
use crate::http::Readiness;
use crate::leader::Leadership;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::peers::Ack;
use crate::publish::Publisher;
use crate::status::Statuses;
use crate::watch::{Seen, Watch, Watching};
use crate::xds::ConfigService;

pub use options::Options;

/// So many inputs may wait while the engine works.
const INPUTS: usize = 4096;
/// So long a fresh replica waits for its proxies before it says that they have nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the operator until told to stop.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let client = client::infer().await?;
    let metrics = Metrics::new();
    let readiness = Readiness::new(&["synced", "certificate"]);
    let http = tokio::spawn(http::serve(options.http_listen, Arc::clone(&metrics), Arc::clone(&readiness), stop.clone()));
    let authority = tokio::select! {
        authority = Authority::start(client.clone(), options.authority()) => authority?,
        () = stop.cancelled() => return Ok(()),
    };
    readiness.set("certificate", true);
    let leadership = Leadership::start(client.clone(), &options.namespace, options::NAME, &options.pod_name, Arc::clone(&metrics));
    tokio::spawn(Arc::clone(&authority).run(leadership.watch()));

    let (inputs, received) = mpsc::channel(INPUTS);
    let ground = Ground { options: &options, client: &client, leader: leadership.watch(), metrics, inputs: inputs.clone() };
    let (outlets, followers) = outlets(&ground, readiness);
    let (acks, heard) = mpsc::channel(INPUTS);
    let service = config_service(&options, &client, &outlets, acks, stop.clone());
    follow_acks(heard, Arc::clone(&service.board), inputs.clone());
    follow_peers(&options, &authority, followers, inputs.clone(), stop.clone());
    follow_bundle(authority.bundle(), inputs.clone());
    show_expiry(authority.expiry(), Arc::clone(&outlets.metrics));
    lose_patience(outlets.synced.subscribe(), inputs.clone());
    watch_everything(&client, &Watching { inputs, metrics: Arc::clone(&outlets.metrics), stop: stop.clone() });
    let translator = Translator::new(options.settings());
    let engine = tokio::spawn(Engine::new(translator, outlets, options.own()).run(received));
    let xds = tokio::spawn(xds::serve(options.xds_listen, pod::tls::server_config(authority.resolver(), "h2"), service));

    tokio::select! {
        () = stop.cancelled() => {}
        ended = http => ended?.context("the HTTP port failed")?,
        ended = xds => ended?.context("the config channel failed")?,
        ended = engine => { ended.context("the engine failed")?; }
    }
    leadership.release().await;
    stop.cancel();
    Ok(())
}

/// Whom the outlets tell of the operator's other replicas.
type Followers = channel::Receiver<std::collections::BTreeSet<std::net::IpAddr>>;

/// What everything that writes stands on.
struct Ground<'g> {
    options: &'g Options,
    client: &'g Client,
    leader: channel::Receiver<bool>,
    metrics: Arc<Metrics>,
    inputs: mpsc::Sender<Input>,
}

fn outlets(ground: &Ground<'_>, readiness: Arc<Readiness>) -> (Outlets, Followers) {
    let Ground { options, client, .. } = ground;
    let (leader, metrics) = (ground.leader.clone(), Arc::clone(&ground.metrics));
    let (troubles, troubled) = mpsc::unbounded_channel();
    follow(troubled, ground.inputs.clone(), Input::Trouble);
    let (statuses, status_work) = Statuses::new((*client).clone(), options.reporter(), leader.clone(), Arc::clone(&metrics));
    tokio::spawn(Arc::clone(&statuses).run(status_work));
    let controller = options.controller_name.clone();
    let (infrastructure, infra_work) = Infrastructure::new((*client).clone(), controller, leader.clone(), Arc::clone(&metrics), troubles);
    tokio::spawn(Arc::clone(&infrastructure).run(infra_work));
    let reports = Arc::new(Reports::default());
    tokio::spawn(events::publish((*client).clone(), options.pod_name.clone(), Arc::clone(&reports), leader));
    let (peers, followers) = channel::channel(std::collections::BTreeSet::new());
    let (synced, _) = channel::channel(false);
    let publisher = Arc::new(Publisher::default());
    let (board, pods) = (Arc::default(), Arc::default());
    (Outlets { publisher, board, pods, statuses, infrastructure, reports, synced, peers, metrics, readiness }, followers)
}

fn config_service(
    options: &Options,
    client: &Client,
    outlets: &Outlets,
    acks: mpsc::Sender<Ack>,
    stop: CancellationToken,
) -> ConfigService {
    ConfigService {
        publisher: Arc::clone(&outlets.publisher),
        authenticator: Arc::new(Authenticator::new(client.clone())),
        metrics: Arc::clone(&outlets.metrics),
        synced: outlets.synced.subscribe(),
        acks,
        board: Arc::clone(&outlets.board),
        pods: Arc::clone(&outlets.pods),
        own_account: options.account(),
        stop,
    }
}

/// Acks of proxies connected here go to the engine and on the board for other replicas.
fn follow_acks(mut heard: mpsc::Receiver<Ack>, board: Arc<peers::Board>, inputs: mpsc::Sender<Input>) {
    tokio::spawn(async move {
        while let Some(ack) = heard.recv().await {
            board.note(&ack);
            if inputs.send(Input::Ack(ack)).await.is_err() {
                return;
            }
        }
    });
}

fn follow_peers(options: &Options, authority: &Authority, peers: Followers, inputs: mpsc::Sender<Input>, stop: CancellationToken) {
    let (acks, mut heard) = mpsc::channel(INPUTS);
    tokio::spawn(peers::follow(peers, options.peers(), authority.bundle(), acks, stop));
    tokio::spawn(async move {
        while let Some(ack) = heard.recv().await {
            if inputs.send(Input::Ack(ack)).await.is_err() {
                return;
            }
        }
    });
}

/// Hands on what arrives until nobody takes it.
fn follow<T: Send + 'static>(mut from: mpsc::UnboundedReceiver<T>, inputs: mpsc::Sender<Input>, into: fn(T) -> Input) {
    tokio::spawn(async move {
        while let Some(one) = from.recv().await {
            if inputs.send(into(one)).await.is_err() {
                return;
            }
        }
    });
}

/// Proxies come back within seconds of a start; one that does not is not waited for.
fn lose_patience(mut synced: channel::Receiver<bool>, inputs: mpsc::Sender<Input>) {
    tokio::spawn(async move {
        if synced.wait_for(|synced| *synced).await.is_ok() {
            tokio::time::sleep(PATIENCE).await;
            let _ = inputs.send(Input::Patience).await;
        }
    });
}

fn follow_bundle(mut bundle: channel::Receiver<String>, inputs: mpsc::Sender<Input>) {
    tokio::spawn(async move {
        loop {
            let pem = bundle.borrow_and_update().clone();
            if inputs.send(Input::CaBundle(pem)).await.is_err() || bundle.changed().await.is_err() {
                return;
            }
        }
    });
}

fn show_expiry(mut expiry: channel::Receiver<i64>, metrics: Arc<Metrics>) {
    tokio::spawn(async move {
        loop {
            metrics.ca_expiry_timestamp.set(*expiry.borrow_and_update() as f64);
            if expiry.changed().await.is_err() {
                return;
            }
        }
    });
}

fn watch_everything(client: &Client, shared: &Watching<Input>) {
    for kind in reading::KINDS {
        watch_kind(client, *kind, shared.clone());
    }
    for owned in OWNED {
        let api: Api<Manifest> = Api::all_with(client.clone(), &owned_resource(owned));
        let (name, config) = (owned.2, watch_config().labels(MANAGED_BY));
        let into = move |seen: Seen<Manifest>| Input::Owned(name, seen.map(Owned::of));
        Watch { name, api, config, into: Box::new(into) }.spawn(shared.clone());
    }
    let api = Api::<Pod>::all(client.clone());
    Watch { name: "Pod", api, config: watch_config().labels(MANAGED_BY), into: Box::new(|seen: Seen<Pod>| Input::Pod(seen.map(Box::new))) }
        .spawn(shared.clone());
}

fn watch_kind(client: &Client, kind: Kind, shared: Watching<Input>) {
    let api: Api<Manifest> = Api::all_with(client.clone(), &reading::resource(kind));
    let config = reading::field_selector(kind).into_iter().fold(watch_config(), watcher::Config::fields);
    Watch { name: kind.as_str(), api, config, into: Box::new(move |seen| Input::Object(kind, seen.map(Box::new))) }.spawn(shared);
}

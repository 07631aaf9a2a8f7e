//! The one place where everything meets: what was seen goes into the translator, what changed by it goes out to proxies and to the writers.
//! It works as soon as there is work, and takes together only what arrives while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::sync::{mpsc, watch};
use translate::{InlineCredentials, Kind, Object, ObjectKey, Status, Translator, Update};

use crate::apply::{Infrastructure, Owned, Trouble};
use crate::audit;
use crate::events::{self, Report, Reports};
use crate::http::Readiness;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::peers::{Ack, Board};
use crate::pods::Pods;
use crate::proxies::Fleet;
use crate::publish::Publisher;
use crate::reading::{self, KINDS};
use crate::status::Statuses;
use crate::watch::Seen;

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// What happens in the world.
#[derive(Debug)]
pub(crate) enum Input {
    /// To an object that is translated.
    Object(Kind, Seen<Box<Manifest>>),
    /// To a proxy's pod.
    Pod(Seen<Box<Pod>>),
    /// To an object that we applied.
    Owned(&'static str, Seen<Owned>),
    /// Something could not be applied, or can be again.
    Trouble(Trouble),
    /// A proxy acknowledged, here or to another replica.
    Ack(Ack),
    /// The certificates that proxies are to trust.
    CaBundle(String),
    /// Proxies that have not said by now what they have are not waited for.
    Patience,
}

/// Where results go.
pub(crate) struct Outlets {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) board: Arc<Board>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) statuses: Arc<Statuses>,
    pub(crate) infrastructure: Arc<Infrastructure>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) synced: watch::Sender<bool>,
    pub(crate) peers: watch::Sender<BTreeSet<IpAddr>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
}

/// Who this replica is.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// The operator's Service, whose endpoints are its replicas.
    pub(crate) service: ObjectKey,
    /// This replica's address, if it has one.
    pub(crate) address: Option<IpAddr>,
}

pub(crate) struct Engine {
    translator: Translator,
    out: Outlets,
    own: Own,
    fleet: Fleet,
    /// Kinds that were not listed yet.
    missing: BTreeSet<Kind>,
    pods_listed: bool,
    has_bundle: bool,
    known: BTreeMap<(Kind, ObjectKey), Known>,
    /// Replicas of the operator, by EndpointSlice.
    replicas: BTreeMap<ObjectKey, BTreeSet<IpAddr>>,
    /// After a start: statuses of Gateways and ListenerSets, until their proxies have come back. Without that each would say for a while
    /// that its proxies have nothing.
    held: Option<BTreeMap<(Kind, ObjectKey), Option<Status>>>,
}

/// What is remembered of an object besides its translation.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    uid: Option<String>,
    generation: Option<i64>,
    is_ending: bool,
    unreadable: bool,
}

impl Engine {
    pub(crate) fn new(translator: Translator, out: Outlets, own: Own) -> Self {
        Self {
            translator,
            out,
            own,
            fleet: Fleet::default(),
            missing: KINDS.iter().copied().collect(),
            pods_listed: false,
            has_bundle: false,
            known: BTreeMap::new(),
            replicas: BTreeMap::new(),
            held: Some(BTreeMap::new()),
        }
    }

    /// Works until nobody can tell anything any more.
    pub(crate) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        while let Some(first) = inputs.recv().await {
            let timer = self.out.metrics.reconcile_seconds.start_timer();
            self.take(first);
            while let Ok(next) = inputs.try_recv() {
                self.take(next);
            }
            if self.is_synced() {
                self.work();
                timer.observe_duration();
            } else {
                timer.stop_and_discard();
            }
        }
    }

    fn work(&mut self) {
        let update = self.translator.translate();
        self.out.metrics.translated.inc();
        self.deliver(update);
        // Infrastructure that was named just now may have proxies that were seen before.
        let update = self.translator.translate();
        self.deliver(update);
        if self.held.is_some() && self.fleet.has_heard_all() {
            self.release();
        }
        if !self.out.synced.send_replace(true) {
            self.out.statuses.sweep();
            self.out.readiness.set("synced", true);
        }
    }

    /// Says what was held.
    fn release(&mut self) {
        for ((kind, key), status) in self.held.take().into_iter().flatten() {
            self.out.statuses.want(kind, &key, status.as_ref());
        }
    }

    /// Before everything was listed, a translation would take what exists for missing.
    fn is_synced(&self) -> bool {
        self.missing.is_empty() && self.pods_listed && self.has_bundle
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Object(kind, seen) => self.object(kind, seen),
            Input::Pod(seen) => self.pod(seen),
            Input::Owned(kind, Seen::There(owned)) => self.out.infrastructure.saw(kind, owned),
            Input::Owned(kind, Seen::Gone(key)) => self.out.infrastructure.gone(kind, &key),
            Input::Owned(kind, Seen::Synced) => self.out.infrastructure.synced(kind),
            Input::Ack(Ack { gateway, pod, digest }) => {
                self.fleet.ack(&gateway, &pod, digest);
                self.proxies_changed(&gateway);
            }
            Input::Trouble(Trouble { gateway, why }) => {
                self.fleet.trouble(&gateway, why);
                self.proxies_changed(&gateway);
            }
            Input::Patience => self.release(),
            Input::CaBundle(pem) => {
                self.has_bundle = true;
                self.translator.set_ca_bundle(pem);
            }
        }
    }

    fn object(&mut self, kind: Kind, seen: Seen<Box<Manifest>>) {
        match seen {
            Seen::There(manifest) => self.there(kind, *manifest),
            Seen::Gone(key) => {
                self.known.remove(&(kind, key.clone()));
                self.out.statuses.gone(kind, &key);
                self.note_replicas_gone(kind, &key);
                self.translator.remove(kind, &key);
                self.translator.set_inline(kind, &key, InlineCredentials::default());
                self.count(kind);
            }
            Seen::Synced => {
                self.missing.remove(&kind);
                self.count(kind);
            }
        }
    }

    fn there(&mut self, kind: Kind, mut manifest: Manifest) {
        let inline = audit::inline_credentials(kind, &mut manifest);
        manifest.prune();
        let key = reading::key(kind, &manifest);
        // An annotation is part of no generation.
        if let Some(inline) = inline {
            self.translator.set_inline(kind, &key, inline);
        }
        let status = manifest.take_status_unless_read(kind);
        let version = manifest.metadata.resource_version.take();
        if has_status(kind) {
            self.out.statuses.saw(kind, &key, version, status);
        }
        let metadata = &manifest.metadata;
        let is_ending = metadata.deletion_timestamp.is_some();
        let known = Known { uid: metadata.uid.clone(), generation: metadata.generation, is_ending, unreadable: false };
        // Statuses are written often, our own first of all; what was read before is not read again for them.
        if is_told_by_generation(kind) && known.generation.is_some() && self.known.get(&(kind, key.clone())) == Some(&known) {
            return;
        }
        self.read(kind, key, known, manifest);
    }

    fn read(&mut self, kind: Kind, key: ObjectKey, known: Known, manifest: Manifest) {
        let uid = known.uid.clone();
        let read = reading::read(kind, manifest);
        let known = Known { unreadable: read.is_err(), ..known };
        let was = has_status(kind).then(|| self.known.insert((kind, key.clone()), known)).flatten();
        match read {
            Ok(object) => {
                self.note_replicas(&object);
                self.translator.set(object);
                if was.is_some_and(|was| was.unreadable) {
                    self.report(Report { kind, key, uid, problems: Vec::new() });
                }
            }
            Err(error) => {
                tracing::error!(object.kind = kind.as_str(), object.name = %key, reason = error.reason, "an object cannot be read");
                if fails_closed(kind) {
                    self.translator.remove(kind, &key);
                }
                let problems = vec![events::Trouble { reason: "Unreadable".to_owned(), field: String::new(), message: error.reason }];
                self.report(Report { kind, key, uid, problems });
            }
        }
        if self.missing.is_empty() {
            self.count(kind);
        }
    }

    fn pod(&mut self, seen: Seen<Box<Pod>>) {
        let changed = match seen {
            Seen::There(pod) => {
                self.out.pods.there(&pod);
                self.fleet.pod(&pod)
            }
            Seen::Gone(key) => {
                self.out.pods.gone(&key);
                let gateway = self.fleet.pod_gone(&key);
                gateway.iter().for_each(|gateway| self.out.board.forget(gateway, &key.name));
                gateway
            }
            Seen::Synced => {
                self.pods_listed = true;
                None
            }
        };
        if let Some(gateway) = changed {
            self.proxies_changed(&gateway);
        }
    }

    fn proxies_changed(&mut self, gateway: &ObjectKey) {
        self.translator.set_proxies(gateway, self.fleet.proxies(gateway));
    }

    /// The operator's own replicas are told to whoever follows their acknowledgements.
    fn note_replicas(&mut self, object: &Object) {
        let Object::EndpointSlice(slice) = object else { return };
        if !is_of(slice, &self.own.service) {
            return;
        }
        let addresses =
            slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok());
        let others = addresses.filter(|address| Some(*address) != self.own.address).collect();
        self.replicas.insert(ObjectKey::of(&slice.metadata), others);
        self.tell_replicas();
    }

    fn note_replicas_gone(&mut self, kind: Kind, key: &ObjectKey) {
        if kind == Kind::EndpointSlice && self.replicas.remove(key).is_some() {
            self.tell_replicas();
        }
    }

    fn tell_replicas(&self) {
        let all: BTreeSet<IpAddr> = self.replicas.values().flatten().copied().collect();
        self.out.peers.send_if_modified(|known| {
            let changed = *known != all;
            *known = all;
            changed
        });
    }

    fn deliver(&mut self, update: Update) {
        // First of all, so that an account is known before its proxies start.
        for (gateway, infra) in update.infra {
            match &infra {
                Some(infra) => {
                    let account = infra.service_account();
                    self.out.publisher.admit(account.clone(), gateway.clone());
                    self.fleet.name(account, gateway.clone());
                    self.proxies_changed(&gateway);
                }
                None => {
                    self.out.publisher.expel(&gateway);
                    self.fleet.forget(&gateway);
                    self.out.board.forget_all(&gateway);
                }
            }
            self.out.infrastructure.want(&gateway, infra);
        }
        for (gateway, change) in update.configs {
            self.out.publisher.apply(&gateway, change);
        }
        for (kind, key, status) in update.statuses {
            match self.held.as_mut().filter(|_| matches!(kind, Kind::Gateway | Kind::ListenerSet)) {
                Some(held) => drop(held.insert((kind, key), status)),
                None => self.out.statuses.want(kind, &key, status.as_ref()),
            }
        }
        for ((namespace, kind), count) in update.inline {
            self.out.metrics.show_inline(&namespace, kind.as_str(), count);
        }
        for ((kind, key), problems) in update.problems {
            let uid = self.known.get(&(kind, key.clone())).and_then(|known| known.uid.clone());
            self.report(Report::new(kind, key, uid, &problems));
        }
    }

    fn report(&self, report: Report) {
        for events::Trouble { reason, field, message } in &report.problems {
            let (kind, name) = (report.kind.as_str(), &report.key);
            tracing::info!(object.kind = kind, object.name = %name, problem.reason = reason, problem.field = field, "{message}");
        }
        self.out.reports.tell(report);
    }

    fn count(&self, kind: Kind) {
        let objects = i64::try_from(self.translator.count(kind)).unwrap_or(i64::MAX);
        self.out.metrics.objects.with_label_values(&[kind.as_str()]).set(objects);
    }
}

/// Kinds of which nothing but the spec is read, whose generation grows with every change of it.
fn is_told_by_generation(kind: Kind) -> bool {
    matches!(kind, Kind::GatewayClass | Kind::Gateway | Kind::ListenerSet | Kind::Route(_) | Kind::BackendTlsPolicy)
}

/// Kinds whose status we write.
fn has_status(kind: Kind) -> bool {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::ListenerSet | Kind::Route(_) | Kind::Upstream | Kind::BackendTlsPolicy => true,
        Kind::ReferenceGrant | Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => false,
        Kind::GatewayParameters => false,
    }
}

/// What an unreadable object permitted or led to must not live on. Gateways, ListenerSets and routes stay as they were: without them, their
/// requests could fall to wider routes. So do BackendTLSPolicies: without them, requests would go out in clear.
fn fails_closed(kind: Kind) -> bool {
    matches!(kind, Kind::ReferenceGrant | Kind::Upstream | Kind::Secret | Kind::ConfigMap)
}

fn is_of(slice: &EndpointSlice, service: &ObjectKey) -> bool {
    let name = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME_LABEL));
    slice.metadata.namespace.as_ref() == Some(&service.namespace) && name == Some(&service.name)
}

impl Manifest {
    /// A Service's status is read (its load balancer's addresses); others' are only compared.
    fn take_status_unless_read(&mut self, kind: Kind) -> Option<Box<str>> {
        (kind != Kind::Service).then(|| self.take_status()).flatten()
    }
}

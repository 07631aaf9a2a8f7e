//! Translation over time: objects come and go, and each call says only what differs from the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api::experimental::gatewayclasses::GatewayClass;
use gateway_api::experimental::gateways::Gateway;
use gateway_api::experimental::referencegrants::ReferenceGrant;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use policy::Config;
use policy::wire::{Delta, Named};

use crate::finding::Problem;
use crate::infra::Infra;
use crate::model::RouteKind;
use crate::status::{GatewayClassStatus, GatewayStatus, RouteStatus, UpstreamStatus, digest};
use crate::{ObjectKey, Proxies, Route, Settings, Snapshot, Translation};

/// A kind that is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Kind {
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    ReferenceGrant,
    Namespace,
    Service,
    EndpointSlice,
    Secret,
    Upstream,
    GatewayParameters,
}

impl Kind {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::Upstream => "Upstream",
            Self::GatewayParameters => "GatewayParameters",
        }
    }
}

/// An object that is translated. Not printable: it may hold a credential.
#[derive(Clone)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Object {
    GatewayClass(Arc<GatewayClass>),
    Gateway(Arc<Gateway>),
    Route(Arc<Route>),
    ReferenceGrant(Arc<ReferenceGrant>),
    Namespace(Arc<Namespace>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Secret(Arc<Secret>),
    Upstream(Arc<crds::Upstream>),
    GatewayParameters(Arc<crds::GatewayParameters>),
}

/// What differs from the last translation.
#[derive(Default)]
pub struct Update {
    /// By Gateway.
    pub configs: BTreeMap<ObjectKey, ConfigChange>,
    /// What each object's status is to say; `None`: the object is not ours any more. Times are all the same: whoever writes sets them.
    pub statuses: Vec<(Kind, ObjectKey, Option<Status>)>,
    /// What runs for each Gateway; `None`: nothing any more.
    pub infra: BTreeMap<ObjectKey, Option<Infra>>,
    /// Objects whose problems are others than before; none: all is well.
    pub problems: BTreeMap<(Kind, ObjectKey), Vec<Problem>>,
}

/// A change of one Gateway's configuration.
pub enum ConfigChange {
    /// It has none any more.
    Gone,
    /// It has this now.
    Delta {
        /// New or changed resources.
        upsert: Vec<Named>,
        /// `kind/name` of those that are no more.
        remove: Vec<String>,
        /// Of its listeners and certificates.
        listeners_digest: String,
    },
}

/// The status of an object of ours.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Status {
    GatewayClass(GatewayClassStatus),
    Gateway(GatewayStatus),
    Route(RouteStatus),
    Upstream(UpstreamStatus),
}

/// Translates what changes.
pub struct Translator {
    settings: Settings,
    objects: BTreeMap<Kind, BTreeMap<ObjectKey, Object>>,
    proxies: BTreeMap<ObjectKey, Proxies>,
    last: Translation,
}

impl Translator {
    /// Without any object.
    pub fn new(settings: Settings) -> Self {
        Self { settings, objects: BTreeMap::new(), proxies: BTreeMap::new(), last: Translation::default() }
    }

    /// Adds or replaces an object.
    pub fn set(&mut self, object: Object) {
        let (kind, key) = identity(&object);
        self.objects.entry(kind).or_default().insert(key, object);
    }

    /// An object is gone; cluster-scoped ones have no namespace.
    pub fn remove(&mut self, kind: Kind, key: &ObjectKey) {
        self.objects.entry(kind).or_default().remove(key);
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: Kind) -> usize {
        self.objects.get(&kind).map(BTreeMap::len).unwrap_or_default()
    }

    /// What is known of a Gateway's proxies now.
    pub fn set_proxies(&mut self, gateway: &ObjectKey, proxies: Proxies) {
        self.proxies.insert(gateway.clone(), proxies);
    }

    /// The certificates by which proxies know the operator.
    pub fn set_ca_bundle(&mut self, pem: String) {
        if let Some(cluster) = self.settings.cluster.as_mut() {
            cluster.infra.ca_bundle = pem;
        }
    }

    /// Says what differs from the last call.
    pub fn translate(&mut self) -> Update {
        let now = crate::translate(&self.snapshot(), &self.settings, Timestamp::UNIX_EPOCH);
        let before = std::mem::replace(&mut self.last, now);
        let (before, now) = (&before, &self.last);
        Update {
            configs: configs(before, now),
            statuses: statuses(before, now),
            infra: changed(&before.infra, &now.infra).filter(|(key, infra)| infra.is_some() || self.is_gone(key)).collect(),
            problems: problems(before, now),
        }
    }

    /// A Gateway that is merely invalid keeps what runs for it.
    fn is_gone(&self, gateway: &ObjectKey) -> bool {
        !self.last.statuses.gateways.contains_key(gateway)
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { proxies: self.proxies.clone(), ..Snapshot::default() };
        for object in self.objects.values().flat_map(BTreeMap::values).cloned() {
            match object {
                Object::GatewayClass(one) => snapshot.gateway_classes.push(one),
                Object::Gateway(one) => snapshot.gateways.push(one),
                Object::Route(one) if one.kind == RouteKind::Http => snapshot.http_routes.push(one),
                Object::Route(one) => snapshot.grpc_routes.push(one),
                Object::ReferenceGrant(one) => snapshot.reference_grants.push(one),
                Object::Namespace(one) => snapshot.namespaces.push(one),
                Object::Service(one) => snapshot.services.push(one),
                Object::EndpointSlice(one) => snapshot.endpoint_slices.push(one),
                Object::Secret(one) => snapshot.secrets.push(one),
                Object::Upstream(one) => snapshot.upstreams.push(one),
                Object::GatewayParameters(one) => snapshot.gateway_parameters.push(one),
            }
        }
        snapshot
    }
}

fn identity(object: &Object) -> (Kind, ObjectKey) {
    let cluster = |name: &Option<String>| ObjectKey::new("", name.clone().unwrap_or_default());
    match object {
        Object::GatewayClass(one) => (Kind::GatewayClass, cluster(&one.metadata.name)),
        Object::Namespace(one) => (Kind::Namespace, cluster(&one.metadata.name)),
        Object::Gateway(one) => (Kind::Gateway, ObjectKey::of(&one.metadata)),
        Object::Route(one) if one.kind == RouteKind::Http => (Kind::HttpRoute, one.key.clone()),
        Object::Route(one) => (Kind::GrpcRoute, one.key.clone()),
        Object::ReferenceGrant(one) => (Kind::ReferenceGrant, ObjectKey::of(&one.metadata)),
        Object::Service(one) => (Kind::Service, ObjectKey::of(&one.metadata)),
        Object::EndpointSlice(one) => (Kind::EndpointSlice, ObjectKey::of(&one.metadata)),
        Object::Secret(one) => (Kind::Secret, ObjectKey::of(&one.metadata)),
        Object::Upstream(one) => (Kind::Upstream, ObjectKey::of(&one.metadata)),
        Object::GatewayParameters(one) => (Kind::GatewayParameters, ObjectKey::of(&one.metadata)),
    }
}

/// What is other than before, and what is no more.
fn changed<K: Ord + Clone, V: PartialEq + Clone>(before: &BTreeMap<K, V>, now: &BTreeMap<K, V>) -> impl Iterator<Item = (K, Option<V>)> {
    let set = now.iter().filter(|(key, value)| before.get(*key) != Some(*value)).map(|(key, value)| (key.clone(), Some(value.clone())));
    let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
    set.chain(gone).collect::<Vec<_>>().into_iter()
}

fn configs(before: &Translation, now: &Translation) -> BTreeMap<ObjectKey, ConfigChange> {
    let nothing = Config::default();
    let delta = |(key, config): (&ObjectKey, &Config)| {
        let known = before.configs.get(key);
        let Delta { upsert, remove } = Delta::between(known.unwrap_or(&nothing), config);
        let same = known.is_some() && upsert.is_empty() && remove.is_empty();
        (!same).then(|| (key.clone(), ConfigChange::Delta { upsert, remove, listeners_digest: digest(config) }))
    };
    let gone = before.configs.keys().filter(|key| !now.configs.contains_key(*key)).map(|key| (key.clone(), ConfigChange::Gone));
    now.configs.iter().filter_map(delta).chain(gone).collect()
}

fn statuses(before: &Translation, now: &Translation) -> Vec<(Kind, ObjectKey, Option<Status>)> {
    let (before, now) = (&before.statuses, &now.statuses);
    let classes = changed(&before.gateway_classes, &now.gateway_classes);
    let classes = classes.map(|(name, status)| (Kind::GatewayClass, ObjectKey::new("", name), status.map(Status::GatewayClass)));
    let gateways = changed(&before.gateways, &now.gateways).map(|(key, status)| (Kind::Gateway, key, status.map(Status::Gateway)));
    // A route that lost its last parent of ours says so; one that is gone does not, and whoever writes knows which it is.
    let route = |status: Option<RouteStatus>| Some(Status::Route(status.unwrap_or_default()));
    let http = changed(&before.http_routes, &now.http_routes).map(|(key, status)| (Kind::HttpRoute, key, route(status)));
    let grpc = changed(&before.grpc_routes, &now.grpc_routes).map(|(key, status)| (Kind::GrpcRoute, key, route(status)));
    let upstreams = changed(&before.upstreams, &now.upstreams).map(|(key, status)| (Kind::Upstream, key, status.map(Status::Upstream)));
    classes.chain(gateways).chain(http).chain(grpc).chain(upstreams).collect()
}

fn problems(before: &Translation, now: &Translation) -> BTreeMap<(Kind, ObjectKey), Vec<Problem>> {
    let (before, now) = (by_object(&before.problems), by_object(&now.problems));
    changed(&before, &now).map(|(id, problems)| (id, problems.unwrap_or_default())).collect()
}

fn by_object(problems: &[Problem]) -> BTreeMap<(Kind, ObjectKey), Vec<Problem>> {
    let mut map: BTreeMap<(Kind, ObjectKey), Vec<Problem>> = BTreeMap::new();
    for problem in problems {
        let kinds = [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute, Kind::GrpcRoute, Kind::Upstream];
        if let Some(kind) = kinds.into_iter().find(|kind| kind.as_str() == problem.kind) {
            map.entry((kind, ObjectKey::new(&problem.namespace, &problem.name))).or_default().push(problem.clone());
        }
    }
    map
}

//! What goes in and what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crds::credentials::Levels;
use gateway_api::experimental::gatewayclasses::GatewayClass;
use gateway_api::experimental::gateways::Gateway;
use gateway_api::experimental::referencegrants::ReferenceGrant;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::Config;
use serde::{Serialize, Serializer};

use crate::backend_tls::BackendTlsPolicy;
use crate::finding::Problem;
use crate::infra::{Infra, InfraSettings};
use crate::model::{ListenerSet, Route};
use crate::object::Object;
use crate::status::Statuses;

/// Everything that is watched, or everything that files hold. The order within a list does not matter. Not printable: it holds Secrets.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Classes of all controllers.
    pub gateway_classes: Vec<Arc<GatewayClass>>,
    /// Gateways of all classes.
    pub gateways: Vec<Arc<Gateway>>,
    /// ListenerSets.
    pub listener_sets: Vec<Arc<ListenerSet>>,
    /// Routes of all kinds, as [`Route::read`] reads them.
    pub routes: Vec<Arc<Route>>,
    /// ReferenceGrants.
    pub reference_grants: Vec<Arc<ReferenceGrant>>,
    /// Namespaces, for their labels; one that is missing counts as having its name label only.
    pub namespaces: Vec<Arc<Namespace>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// EndpointSlices.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// Secrets, with `stringData` already merged into `data`.
    pub secrets: Vec<Arc<Secret>>,
    /// Upstreams.
    pub upstreams: Vec<Arc<crds::Upstream>>,
    /// How proxies are run.
    pub gateway_parameters: Vec<Arc<crds::GatewayParameters>>,
    /// How pods are verified.
    pub backend_tls_policies: Vec<Arc<BackendTlsPolicy>>,
    /// ConfigMaps, for certificates of authorities.
    pub config_maps: Vec<Arc<ConfigMap>>,
    /// What the data plane says, by Gateway.
    pub proxies: BTreeMap<ObjectKey, Proxies>,
}

impl Snapshot {
    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let cluster = self.gateway_classes.iter().cloned().map(Object::GatewayClass);
        let cluster = cluster.chain(self.namespaces.iter().cloned().map(Object::Namespace));
        let gateways = self.gateways.iter().cloned().map(Object::Gateway);
        let gateways = gateways.chain(self.listener_sets.iter().cloned().map(Object::ListenerSet));
        let gateways = gateways.chain(self.gateway_parameters.iter().cloned().map(Object::GatewayParameters));
        let routes = self.routes.iter().cloned().map(Object::Route);
        let backends = self.services.iter().cloned().map(Object::Service);
        let backends = backends.chain(self.endpoint_slices.iter().cloned().map(Object::EndpointSlice));
        let backends = backends.chain(self.upstreams.iter().cloned().map(Object::Upstream));
        let backends = backends.chain(self.backend_tls_policies.iter().cloned().map(Object::BackendTlsPolicy));
        let secrets = self.secrets.iter().cloned().map(Object::Secret);
        let secrets = secrets.chain(self.config_maps.iter().cloned().map(Object::ConfigMap));
        let grants = self.reference_grants.iter().cloned().map(Object::ReferenceGrant);
        cluster.chain(gateways).chain(routes).chain(backends).chain(secrets).chain(grants)
    }
}

/// What is known of a Gateway's proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Names of the ready pods.
    pub ready: BTreeSet<String>,
    /// Digest of the listeners that each pod has acknowledged, by its name.
    pub acked: BTreeMap<String, String>,
    /// Why something that is to run for the Gateway could not be applied.
    pub trouble: Option<String>,
}

/// Who we are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// GatewayClasses with this `controllerName` are ours.
    pub controller_name: String,
    /// Gateways of this class count as ours although no GatewayClass object exists: for files, which seldom hold one.
    pub implied_class: Option<String>,
    /// In a cluster, Gateways have infrastructure and addresses, and are programmed when their proxies say so. `None` for files.
    pub cluster: Option<ClusterSettings>,
    /// Of namespaces whose labels do not say otherwise.
    pub levels: Levels,
}

/// What is known in a cluster only.
#[derive(Clone, Debug, Default)]
pub struct ClusterSettings {
    /// What all proxies need.
    pub infra: InfraSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self { controller_name: "keyward.dev/gateway-controller".to_owned(), implied_class: None, cluster: None, levels: Levels::default() }
    }
}

/// The outcome. Serialized, it shows tokens as fingerprints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Translation {
    /// What each Gateway's proxies serve. A Gateway that is not accepted has none.
    pub configs: BTreeMap<ObjectKey, Config>,
    /// What each object's status says.
    pub statuses: Statuses,
    /// All mistakes and warnings, by object.
    pub problems: Vec<Problem>,
    /// What runs for each Gateway. One with invalid parameters has none: what runs goes on as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub infra: BTreeMap<ObjectKey, Infra>,
}

/// A namespaced object's identity within its kind. Prints as `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// From its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// An object's own. Without a namespace, as files may have it, it is in `default`, as it would be after `kubectl apply`.
    pub fn of(metadata: &ObjectMeta) -> Self {
        let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        Self::new(namespace, metadata.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

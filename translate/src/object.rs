//! What is translated: objects by kind, as they are read.

use std::sync::Arc;

use gateway_api::experimental::gatewayclasses::GatewayClass;
use gateway_api::experimental::gateways::Gateway;
use gateway_api::experimental::referencegrants::ReferenceGrant;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::{BackendTlsPolicy, ListenerSet, ObjectKey, Route, RouteKind};

/// A kind that is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Kind {
    GatewayClass,
    Gateway,
    ListenerSet,
    Route(RouteKind),
    ReferenceGrant,
    Namespace,
    Service,
    EndpointSlice,
    Secret,
    Upstream,
    GatewayParameters,
    BackendTlsPolicy,
    ConfigMap,
}

impl Kind {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::ListenerSet => "ListenerSet",
            Self::Route(kind) => kind.as_str(),
            Self::ReferenceGrant => "ReferenceGrant",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::Upstream => "Upstream",
            Self::GatewayParameters => "GatewayParameters",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// An object that is translated. Not printable: it may hold a credential.
#[derive(Clone)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Object {
    GatewayClass(Arc<GatewayClass>),
    Gateway(Arc<Gateway>),
    ListenerSet(Arc<ListenerSet>),
    Route(Arc<Route>),
    ReferenceGrant(Arc<ReferenceGrant>),
    Namespace(Arc<Namespace>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Secret(Arc<Secret>),
    Upstream(Arc<crds::Upstream>),
    GatewayParameters(Arc<crds::GatewayParameters>),
    BackendTlsPolicy(Arc<BackendTlsPolicy>),
    /// Only its `ca.crt` is kept.
    ConfigMap(Arc<ConfigMap>),
}

impl Object {
    /// Its kind and key; cluster-scoped ones have no namespace.
    pub fn identity(&self) -> (Kind, ObjectKey) {
        let cluster = |name: &Option<String>| ObjectKey::new("", name.clone().unwrap_or_default());
        match self {
            Self::GatewayClass(one) => (Kind::GatewayClass, cluster(&one.metadata.name)),
            Self::Namespace(one) => (Kind::Namespace, cluster(&one.metadata.name)),
            Self::Gateway(one) => (Kind::Gateway, ObjectKey::of(&one.metadata)),
            Self::ListenerSet(one) => (Kind::ListenerSet, one.key()),
            Self::Route(one) => (one.id().kind(), one.key.clone()),
            Self::ReferenceGrant(one) => (Kind::ReferenceGrant, ObjectKey::of(&one.metadata)),
            Self::Service(one) => (Kind::Service, ObjectKey::of(&one.metadata)),
            Self::EndpointSlice(one) => (Kind::EndpointSlice, ObjectKey::of(&one.metadata)),
            Self::Secret(one) => (Kind::Secret, ObjectKey::of(&one.metadata)),
            Self::Upstream(one) => (Kind::Upstream, ObjectKey::of(&one.metadata)),
            Self::GatewayParameters(one) => (Kind::GatewayParameters, ObjectKey::of(&one.metadata)),
            Self::BackendTlsPolicy(one) => (Kind::BackendTlsPolicy, ObjectKey::of(&one.metadata)),
            Self::ConfigMap(one) => (Kind::ConfigMap, ObjectKey::of(&one.metadata)),
        }
    }
}

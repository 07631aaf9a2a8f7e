//! From a watched object to what `translate` takes. What cannot be read is a value with a reason that quotes nothing of the object.

use std::sync::Arc;

use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use serde_json::Value;
use translate::{Kind, Object, ObjectKey, Route, RouteKind};

use crate::manifest::Manifest;

/// An object that no version of the API allows, or that asks for what we would drop.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// What it says wrong and how to mend it.
    pub(crate) reason: String,
}

/// The kinds that `translate` needs, in the order in which they are best known.
pub(crate) const KINDS: &[Kind] = &[
    Kind::GatewayClass,
    Kind::Namespace,
    Kind::GatewayParameters,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::ReferenceGrant,
    Kind::Secret,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::ConfigMap,
    Kind::BackendTlsPolicy,
    Kind::Upstream,
    Kind::Route(RouteKind::Http),
    Kind::Route(RouteKind::Grpc),
    Kind::Route(RouteKind::Tls),
    Kind::Route(RouteKind::Tcp),
    Kind::Route(RouteKind::Udp),
];

/// Where the API server has a kind.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    let (group, version, plural) = match kind {
        Kind::GatewayClass => ("gateway.networking.k8s.io", "v1", "gatewayclasses"),
        Kind::Gateway => ("gateway.networking.k8s.io", "v1", "gateways"),
        Kind::ListenerSet => ("gateway.networking.k8s.io", "v1", "listenersets"),
        Kind::Route(RouteKind::Http) => ("gateway.networking.k8s.io", "v1", "httproutes"),
        Kind::Route(RouteKind::Grpc) => ("gateway.networking.k8s.io", "v1", "grpcroutes"),
        Kind::Route(RouteKind::Tls) => ("gateway.networking.k8s.io", "v1", "tlsroutes"),
        Kind::Route(RouteKind::Tcp) => ("gateway.networking.k8s.io", "v1", "tcproutes"),
        Kind::Route(RouteKind::Udp) => ("gateway.networking.k8s.io", "v1", "udproutes"),
        Kind::ReferenceGrant => ("gateway.networking.k8s.io", "v1", "referencegrants"),
        Kind::Namespace => ("", "v1", "namespaces"),
        Kind::Service => ("", "v1", "services"),
        Kind::Secret => ("", "v1", "secrets"),
        Kind::EndpointSlice => ("discovery.k8s.io", "v1", "endpointslices"),
        Kind::Upstream => ("gloo.solo.io", "v1", "upstreams"),
        Kind::GatewayParameters => ("keyward.dev", "v1alpha1", "gatewayparameters"),
        Kind::BackendTlsPolicy => ("gateway.networking.k8s.io", "v1", "backendtlspolicies"),
        Kind::ConfigMap => ("", "v1", "configmaps"),
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.as_str().into(), plural: plural.into() }
}

/// Which objects of a kind are not even asked for: Helm's releases and tokens of ServiceAccounts are many and large, and no route can use
/// them.
pub(crate) fn field_selector(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Secret => Some("type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"),
        _ => None,
    }
}

/// Reads an object of a kind.
pub(crate) fn read(kind: Kind, manifest: Manifest) -> Result<Object, Unreadable> {
    let json = manifest.into_json().map_err(|error| unreadable(&error))?;
    match kind {
        Kind::GatewayClass => typed(json).map(Object::GatewayClass),
        Kind::Gateway => {
            refuse_listener_filters(&json)?;
            typed(json).map(Object::Gateway)
        }
        Kind::ListenerSet => {
            refuse_listener_filters(&json)?;
            typed(json).map(Object::ListenerSet)
        }
        Kind::Route(kind) => Route::read(kind, json).map(|route| Object::Route(Arc::new(route))).map_err(|error| unreadable(&error)),
        Kind::ReferenceGrant => typed(json).map(Object::ReferenceGrant),
        Kind::Namespace => typed(json).map(Object::Namespace),
        Kind::Service => typed(json).map(Object::Service),
        Kind::Secret => typed(json).map(Object::Secret),
        Kind::EndpointSlice => typed(json).map(Object::EndpointSlice),
        Kind::Upstream => typed(json).map(Object::Upstream),
        Kind::GatewayParameters => typed(json).map(Object::GatewayParameters),
        Kind::BackendTlsPolicy => typed(json).map(Object::BackendTlsPolicy),
        Kind::ConfigMap => typed(json).map(Object::ConfigMap),
    }
}

fn typed<T: DeserializeOwned>(json: Value) -> Result<Arc<T>, Unreadable> {
    serde_path_to_error::deserialize(json).map(Arc::new).map_err(|error| {
        let reason =
            format!("{} is not what this version understands there: correct it, or see the operator's release notes", error.path());
        Unreadable { reason }
    })
}

/// serde's own words may quote the value they met, which may be a credential.
fn unreadable(error: &serde_json::Error) -> Unreadable {
    let reason = format!("its fields do not have the shape that the API gives them ({:?} error): correct it", error.classify());
    Unreadable { reason }
}

/// Our typed listeners have no field for them, so that a filter that guards a listener would be dropped in silence: refuse the whole
/// object.
fn refuse_listener_filters(object: &Value) -> Result<(), Unreadable> {
    let listeners = object.pointer("/spec/listeners").and_then(Value::as_array);
    let guarded = listeners.into_iter().flatten().position(|listener| listener.get("filters").is_some());
    guarded.map_or(Ok(()), |nth| {
        let reason = format!("spec.listeners[{nth}].filters are not served: remove them; until then the object stays as it was");
        Err(Unreadable { reason })
    })
}

/// An object's identity; cluster-scoped kinds have no namespace.
pub(crate) fn key(kind: Kind, manifest: &Manifest) -> ObjectKey {
    let name = manifest.metadata.name.clone().unwrap_or_default();
    match kind {
        Kind::GatewayClass | Kind::Namespace => ObjectKey::new("", name),
        _ => ObjectKey::new(manifest.metadata.namespace.clone().unwrap_or_default(), name),
    }
}

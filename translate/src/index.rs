//! The snapshot by name. Only look-ups: it judges nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api::experimental::gateways::Gateway;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::grant::Grants;
use crate::{ObjectKey, Snapshot};

/// The label that ties an EndpointSlice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// The label that the API server puts on every Namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Not printable: it holds Secrets.
pub(crate) struct Index<'s> {
    pub(crate) grants: Grants<'s>,
    gateways: BTreeMap<ObjectKey, &'s Gateway>,
    services: BTreeMap<ObjectKey, &'s Service>,
    slices: BTreeMap<ObjectKey, Vec<&'s EndpointSlice>>,
    secrets: BTreeMap<ObjectKey, &'s Secret>,
    namespaces: BTreeMap<String, &'s Namespace>,
    parameters: BTreeMap<ObjectKey, &'s crds::GatewayParameters>,
}

impl<'s> Index<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot) -> Self {
        Self {
            grants: Grants::new(&snapshot.reference_grants),
            gateways: by_key(&snapshot.gateways, |gateway| &gateway.metadata),
            services: by_key(&snapshot.services, |service| &service.metadata),
            slices: by_service(&snapshot.endpoint_slices),
            secrets: by_key(&snapshot.secrets, |secret| &secret.metadata),
            parameters: by_key(&snapshot.gateway_parameters, |parameters| &parameters.metadata),
            namespaces: snapshot.namespaces.iter().map(|one| (one.metadata.name.clone().unwrap_or_default(), &**one)).collect(),
        }
    }

    pub(crate) fn gateway(&self, key: &ObjectKey) -> Option<&'s Gateway> {
        self.gateways.get(key).copied()
    }

    pub(crate) fn service(&self, key: &ObjectKey) -> Option<&'s Service> {
        self.services.get(key).copied()
    }

    /// The slices of a Service.
    pub(crate) fn slices(&self, service: &ObjectKey) -> &[&'s EndpointSlice] {
        self.slices.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn secret(&self, key: &ObjectKey) -> Option<&'s Secret> {
        self.secrets.get(key).copied()
    }

    pub(crate) fn parameters(&self, key: &ObjectKey) -> Option<&'s crds::GatewayParameters> {
        self.parameters.get(key).copied()
    }

    /// A namespace's labels; its name label is there even if the object is not, and says its name whatever a file says.
    pub(crate) fn namespace_labels(&self, namespace: &str) -> BTreeMap<String, String> {
        let known = self.namespaces.get(namespace).and_then(|object| object.metadata.labels.clone());
        let mut labels = known.unwrap_or_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_owned());
        labels
    }
}

fn by_key<T>(objects: &[Arc<T>], metadata: fn(&T) -> &ObjectMeta) -> BTreeMap<ObjectKey, &T> {
    objects.iter().map(|object| (ObjectKey::of(metadata(object)), &**object)).collect()
}

fn by_service(slices: &[Arc<EndpointSlice>]) -> BTreeMap<ObjectKey, Vec<&EndpointSlice>> {
    let mut map: BTreeMap<ObjectKey, Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        if let Some(service) = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME_LABEL)) {
            map.entry(ObjectKey::new(ObjectKey::of(&slice.metadata).namespace, service)).or_default().push(slice);
        }
    }
    map
}

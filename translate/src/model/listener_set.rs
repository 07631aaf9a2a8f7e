//! ListenerSets, as written. A listener of theirs has the fields of a Gateway's, so that both are judged by the same code.

use gateway_api::experimental::gateways::GatewayListeners;
use gateway_api::experimental::listenersets::ListenerSetParentRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::ObjectKey;
use crate::grant::GATEWAY_GROUP;

/// A ListenerSet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ListenerSet {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: ListenerSetSpec,
}

/// Its spec.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerSetSpec {
    pub(crate) parent_ref: ListenerSetParentRef,
    pub(crate) listeners: Vec<GatewayListeners>,
}

impl ListenerSet {
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.metadata)
    }

    /// The Gateway that it refers to; `None`: it refers to something else.
    pub(crate) fn gateway(&self) -> Option<ObjectKey> {
        let ListenerSetParentRef { group, kind, name, namespace } = &self.spec.parent_ref;
        let of_ours = group.as_deref().is_none_or(|group| group == GATEWAY_GROUP);
        let is_gateway = of_ours && kind.as_deref().is_none_or(|kind| kind == "Gateway");
        is_gateway.then(|| ObjectKey::new(namespace.clone().unwrap_or_else(|| self.key().namespace), name))
    }

    /// "ListenerSet ordered by creation time (oldest first)", then "alphabetically by "{namespace}/{name}"" (ListenerSetSpec.listeners).
    pub(crate) fn age(&self) -> (i64, String) {
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
        (created.unwrap_or_default(), self.key().to_string())
    }
}

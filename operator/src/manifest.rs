//! An object as the API server sends it, of any kind: metadata by type, the rest as JSON. Reading it never fails on what an object says,
//! so that one odd object never stops a watch; what it says is judged afterwards, object by object ([`crate::reading`]).

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Not printable: it may hold a credential.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Manifest {
    /// Without managed fields, once it came through a watch.
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    /// `spec`, `status`, `data` and whatever else there is at the top.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// Prints as its identity.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectMeta { namespace, name, .. } = &self.metadata;
        f.debug_struct("Manifest").field("namespace", namespace).field("name", name).finish_non_exhaustive()
    }
}

impl Manifest {
    /// Drops what nothing here reads, which is often half of an object: who manages which field, and the copy that `kubectl apply` keeps,
    /// which may hold an inline token ([`crate::audit`] has looked at it by then).
    pub(crate) fn prune(&mut self) {
        self.metadata.managed_fields = None;
        if let Some(annotations) = self.metadata.annotations.as_mut() {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }

    /// Takes the status out, as JSON text: it is compared with what we want to say, and goes nowhere else.
    pub(crate) fn take_status(&mut self) -> Option<Box<str>> {
        self.rest.remove("status").map(|status| status.to_string().into_boxed_str())
    }

    /// The whole object as JSON, for a typed reader.
    pub(crate) fn into_json(self) -> Result<Value, serde_json::Error> {
        let mut whole = self.rest;
        whole.insert("metadata".to_owned(), serde_json::to_value(self.metadata)?);
        Ok(Value::Object(whole))
    }
}

impl Resource for Manifest {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

//! A BackendTLSPolicy, as written. Read leniently, as routes are: a policy that could not be read at all would leave its Service in clear.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// `BackendTLSPolicy` of `gateway.networking.k8s.io/v1`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct BackendTlsPolicy {
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    pub(crate) target_refs: Vec<TargetRef>,
    pub(crate) validation: Validation,
    #[serde(deserialize_with = "names")]
    pub(crate) options: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TargetRef {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) section_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Validation {
    #[serde(rename = "caCertificateRefs")]
    pub(crate) authorities: Vec<AuthorityRef>,
    #[serde(rename = "wellKnownCACertificates")]
    pub(crate) well_known: Option<String>,
    pub(crate) hostname: String,
    pub(crate) subject_alt_names: Vec<Name>,
}

/// Within the namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct AuthorityRef {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Name {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) hostname: Option<String>,
    pub(crate) uri: Option<String>,
}

fn names<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<String>, D::Error> {
    BTreeMap::<String, IgnoredAny>::deserialize(json).map(|options| options.into_keys().collect())
}

impl TargetRef {
    /// The part of the target that is meant; an empty name is as good as none.
    pub(crate) fn section(&self) -> Option<&str> {
        self.section_name.as_deref().filter(|section| !section.is_empty())
    }

    pub(crate) fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind == "Service"
    }
}

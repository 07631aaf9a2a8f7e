//! The kind `gloo.solo.io/v1 Upstream`: names, spec and status as Gloo ships them, so that its users' manifests apply unchanged.
//! It never decides what is served; it holds what was written.
//!
//! Source of names and fields: `install/helm/gloo/crds/gloo.solo.io_v1_Upstream.yaml` of solo-io/gloo at 8d57572e55, kept field by
//! field in `tests/gloo-upstream-ai-schema.json`. Two things are ours: a status subresource (Gloo writes status through the main
//! resource, so anyone who may write an Upstream may forge its status) and printer columns.

#![expect(clippy::duplicated_attributes, reason = "clippy takes the arguments of two printcolumns for one attribute")]

pub mod ai;
pub mod auth;
pub mod host;
pub mod token;
pub mod vertex;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use self::ai::Ai;

/// The Gloo upstream types that are not `ai`: kept as written, never served.
/// Source: the `upstream_type` oneof of Gloo's `upstream.proto`.
const OTHER_TYPES: [&str; 8] = ["aws", "awsEc2", "azure", "consul", "gcp", "kube", "pipe", "static"];

/// The fields of `ai`: nothing of Gloo's has such a name one level higher.
const PROVIDERS: [&str; 8] = ["openai", "mistral", "anthropic", "azureOpenai", "gemini", "vertexAi", "bedrock", "multi"];

/// Where requests of a route go: for Keyward, one AI provider.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, PartialEq, Default)]
#[kube(
    group = "gloo.solo.io",
    version = "v1",
    kind = "Upstream",
    plural = "upstreams",
    singular = "upstream",
    shortname = "us",
    shortname = "gus",
    category = "gloo-gateway",
    namespaced,
    status = "UpstreamStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "An AI provider and the credential with which it is called. A drop-in for the Upstream of Gloo AI Gateway.",
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status"),
    printcolumn(name = "ResolvedRefs", type_ = "string", json_path = ".status.conditions[?(@.type==\"ResolvedRefs\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamSpec {
    /// The AI provider, its credential and its model. Exactly one provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai: Option<Ai>,
    /// Every other field of a Gloo Upstream, preserved and not understood.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl UpstreamSpec {
    /// The Gloo upstream type that stands here instead of, or beside, `ai`: what a status has to name as not served.
    pub fn other_type(&self) -> Option<&'static str> {
        OTHER_TYPES.into_iter().find(|name| self.other.contains_key(*name))
    }

    /// A provider that stands directly in the spec: its author left out `ai`.
    pub fn misplaced_provider(&self) -> Option<&'static str> {
        PROVIDERS.into_iter().find(|name| self.other.contains_key(*name))
    }

    /// Whether it is an AI provider, or meant to be one: what names nothing at all, or a provider in the wrong place, is a mistake that nobody
    /// else would tell of. Whatever else has no `ai` is Gloo's, also a type that is not known here.
    pub fn is_ai(&self) -> bool {
        let is_meant = self.other.is_empty() || self.misplaced_provider().is_some();
        self.ai.is_some() || (self.other_type().is_none() && is_meant)
    }
}

/// Names the fields of `other` without their values: `httpConnectHeaders` and the like may hold a credential.
impl fmt::Debug for UpstreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamSpec").field("ai", &self.ai).field("other", &self.other.keys()).finish()
    }
}

/// What controllers say about an Upstream. It informs people and never decides what is served; a part that cannot be read
/// counts as absent, because a status someone else wrote must not take the spec out of service.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// Gloo's own reports by the namespace of the controller that wrote them, preserved.
    #[serde(default, deserialize_with = "readable_or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<String, Value>,
    /// Keyward's conditions: `Accepted`, `ResolvedRefs`.
    #[serde(default, deserialize_with = "readable_or_default", skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

fn readable_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let written = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(written).unwrap_or_default())
}

/// Gloo's schema to the letter, by hand: it preserves unknown fields, which is where `conditions` find room.
impl JsonSchema for UpstreamStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UpstreamStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "default": {},
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "statuses": {
                    "type": "object",
                    "default": {},
                    "x-kubernetes-preserve-unknown-fields": true
                }
            }
        })
    }
}

//! `spec.ai`: the providers as Gloo names them, and which one is meant. Every field stays optional, as in Gloo's schema; what a
//! provider needs to be served is judged where it is translated.
//!
//! Source: proto `ai.options.gloo.solo.io.UpstreamSpec`, oneof `llm`
//! (`projects/gloo/api/v1/enterprise/options/ai/ai.proto` of solo-io/gloo at 8d57572e55).

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{AuthToken, CredentialProvider};
use super::host::CustomHost;
use super::vertex::{JsonSchemaName, Publisher};

const EXACTLY_ONE_PROVIDER: &str = "[has(self.openai), has(self.mistral), has(self.anthropic), has(self.azureOpenai), \
    has(self.gemini), has(self.vertexAi), has(self.bedrock), has(self.multi)].filter(x, x == true).size() == 1";

/// The AI provider that requests go to: exactly one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(EXACTLY_ONE_PROVIDER).message(
    "ai needs exactly one of openai, mistral, anthropic, azureOpenai, gemini, vertexAi, bedrock and multi: keep one and give each other provider an Upstream of its own"
))]
pub struct Ai {
    /// OpenAI, or a server with its API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAi>,
    /// Mistral AI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistral: Option<Mistral>,
    /// Anthropic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anthropic: Option<Anthropic>,
    /// OpenAI models on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_openai: Option<AzureOpenAi>,
    /// Google Gemini.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gemini: Option<Gemini>,
    /// Google Vertex AI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vertex_ai: Option<VertexAi>,
    /// Amazon Bedrock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
    /// Several hosts or models of one provider, by priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi: Option<Multi>,
}

/// OpenAI.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct OpenAi {
    /// The token, sent as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// Another host than api.openai.com.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
    /// The model, in place of the one that the request names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Mistral AI.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Mistral {
    /// The token, sent as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// Another host than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
    /// The model, in place of the one that the request names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// Anthropic.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Anthropic {
    /// The token, sent as `x-api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// Another host than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
    /// Sent as `anthropic-version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The model, in place of the one that the request names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// OpenAI models on Azure.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AzureOpenAi {
    /// The token, sent as `api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// Host of the resource, such as `name.openai.azure.com`. A scheme before it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Name of the deployment, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// Sent as `?api-version=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Another host than `endpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
}

/// Google Gemini.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Gemini {
    /// The token, sent as `x-goog-api-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// The model, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Version of the API, part of the path, such as `v1beta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Another host than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
}

/// Google Vertex AI.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct VertexAi {
    /// The token, sent as `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// The model, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Version of the API, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Google Cloud project, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Google Cloud location, part of host and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What to ask of the model, the end of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
    /// Whose model it is: `GOOGLE` or 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Publisher>,
    /// Shape of requests and answers: `NOT_SET`, `ANTHROPIC`, `GEMINI`, `OPENAI`, or 0 to 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchemaName>,
    /// Another host than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
}

/// Amazon Bedrock.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// The AWS keys, used to sign each request (SigV4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_provider: Option<CredentialProvider>,
    /// Another host than the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_host: Option<CustomHost>,
    /// The model, part of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// AWS region, part of the host and of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// Several hosts or models of one provider.
// The bounds of the two lists are ours. CEL rules stand inside both, and the API server multiplies a rule's cost by the greatest number
// of items; without a bound it assumes what fits into 3 MB and refuses the CRD.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Multi {
    /// Pools in the order in which they are tried.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priorities: Option<Vec<Priority>>,
}

/// One step of a failover.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Priority {
    /// Entries among which requests are balanced.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Vec<PoolEntry>>,
}

const EXACTLY_ONE_IN_ENTRY: &str = "[has(self.openai), has(self.mistral), has(self.anthropic), has(self.azureOpenai), \
    has(self.gemini), has(self.vertexAi), has(self.bedrock)].filter(x, x == true).size() == 1";

/// One host or model: exactly one provider.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(EXACTLY_ONE_IN_ENTRY).message(
    "a pool entry needs exactly one of openai, mistral, anthropic, azureOpenai, gemini, vertexAi and bedrock: keep one and give each other its own entry"
))]
pub struct PoolEntry {
    /// OpenAI, or a server with its API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAi>,
    /// Mistral AI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistral: Option<Mistral>,
    /// Anthropic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anthropic: Option<Anthropic>,
    /// OpenAI models on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_openai: Option<AzureOpenAi>,
    /// Google Gemini.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gemini: Option<Gemini>,
    /// Google Vertex AI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vertex_ai: Option<VertexAi>,
    /// Amazon Bedrock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
}

/// The one provider that an [`Ai`] or a [`PoolEntry`] names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Provider<'a> {
    /// `openai`
    OpenAi(&'a OpenAi),
    /// `mistral`
    Mistral(&'a Mistral),
    /// `anthropic`
    Anthropic(&'a Anthropic),
    /// `azureOpenai`
    AzureOpenAi(&'a AzureOpenAi),
    /// `gemini`
    Gemini(&'a Gemini),
    /// `vertexAi`
    VertexAi(&'a VertexAi),
    /// `bedrock`
    Bedrock(&'a Bedrock),
    /// `multi`; never in a pool entry.
    Multi(&'a Multi),
}

impl Provider<'_> {
    /// The field's name as a manifest writes it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => "openai",
            Self::Mistral(_) => "mistral",
            Self::Anthropic(_) => "anthropic",
            Self::AzureOpenAi(_) => "azureOpenai",
            Self::Gemini(_) => "gemini",
            Self::VertexAi(_) => "vertexAi",
            Self::Bedrock(_) => "bedrock",
            Self::Multi(_) => "multi",
        }
    }
}

/// Why no one provider can be told. The text begins with the field.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// No provider at all.
    #[error("{field}: no provider is set; set exactly one of {allowed}")]
    Missing {
        /// `spec.ai`, or `pool[]` for an entry of `multi`.
        field: &'static str,
        /// The providers that the field allows.
        allowed: &'static str,
    },
    /// More than one provider, so it cannot be told who gets the request.
    #[error("{field}: {} are set together; keep one and give each other {remedy}", .named.join(" and "))]
    Several {
        /// `spec.ai`, or `pool[]` for an entry of `multi`.
        field: &'static str,
        /// The providers that are set.
        named: Vec<&'static str>,
        /// Where the others belong.
        remedy: &'static str,
    },
}

/// The place of an "exactly one" and the words for it.
struct Place {
    field: &'static str,
    allowed: &'static str,
    remedy: &'static str,
}

const AI: Place = Place {
    field: "spec.ai",
    allowed: "openai, mistral, anthropic, azureOpenai, gemini, vertexAi, bedrock, multi",
    remedy: "an Upstream of its own",
};

const ENTRY: Place =
    Place { field: "pool[]", allowed: "openai, mistral, anthropic, azureOpenai, gemini, vertexAi, bedrock", remedy: "its own entry" };

impl Ai {
    /// The one provider, or which ones are in each other's way.
    pub fn provider(&self) -> Result<Provider<'_>, ProviderError> {
        let set = [
            self.openai.as_ref().map(Provider::OpenAi),
            self.mistral.as_ref().map(Provider::Mistral),
            self.anthropic.as_ref().map(Provider::Anthropic),
            self.azure_openai.as_ref().map(Provider::AzureOpenAi),
            self.gemini.as_ref().map(Provider::Gemini),
            self.vertex_ai.as_ref().map(Provider::VertexAi),
            self.bedrock.as_ref().map(Provider::Bedrock),
            self.multi.as_ref().map(Provider::Multi),
        ];
        exactly_one(&AI, &set)
    }
}

impl PoolEntry {
    /// The one provider, or which ones are in each other's way.
    pub fn provider(&self) -> Result<Provider<'_>, ProviderError> {
        let set = [
            self.openai.as_ref().map(Provider::OpenAi),
            self.mistral.as_ref().map(Provider::Mistral),
            self.anthropic.as_ref().map(Provider::Anthropic),
            self.azure_openai.as_ref().map(Provider::AzureOpenAi),
            self.gemini.as_ref().map(Provider::Gemini),
            self.vertex_ai.as_ref().map(Provider::VertexAi),
            self.bedrock.as_ref().map(Provider::Bedrock),
        ];
        exactly_one(&ENTRY, &set)
    }
}

fn exactly_one<'a>(place: &Place, set: &[Option<Provider<'a>>]) -> Result<Provider<'a>, ProviderError> {
    let Place { field, allowed, remedy } = *place;
    let set: Vec<Provider<'a>> = set.iter().copied().flatten().collect();
    match set.as_slice() {
        [] => Err(ProviderError::Missing { field, allowed }),
        [provider] => Ok(*provider),
        several => {
            let named = several.iter().map(Provider::field).collect();
            Err(ProviderError::Several { field, named, remedy })
        }
    }
}

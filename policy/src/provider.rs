//! What is particular to each model provider: its credential header, and how its clients expect errors.
//! Sources: the providers' API references; Gloo's `ai.proto` comments where they say how Gloo did it.

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};

/// A provider that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProviderKind {
    /// OpenAI and what speaks its API.
    Openai,
    /// Mistral AI.
    Mistral,
    /// Anthropic.
    Anthropic,
    /// Azure OpenAI.
    AzureOpenai,
    /// Google Gemini.
    Gemini,
    /// Google Vertex AI.
    VertexAi,
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The JSON in which a provider's client libraries expect an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
    /// `{"error":{"code","message","status"}}`
    Google,
}

impl ProviderKind {
    /// The header its credential travels in.
    pub fn credential_header(self) -> HeaderName {
        match self {
            Self::Openai | Self::Mistral | Self::VertexAi => AUTHORIZATION,
            Self::Anthropic => X_API_KEY,
            Self::AzureOpenai => API_KEY,
            Self::Gemini => X_GOOG_API_KEY,
        }
    }

    /// What stands before the token in that header.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Openai | Self::Mistral | Self::VertexAi => "Bearer ",
            Self::Anthropic | Self::AzureOpenai | Self::Gemini => "",
        }
    }

    /// `gen_ai.provider.name` of the GenAI semantic conventions.
    pub fn semconv_name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Mistral => "mistral_ai",
            Self::Anthropic => "anthropic",
            Self::AzureOpenai => "azure.ai.openai",
            Self::Gemini => "gcp.gemini",
            Self::VertexAi => "gcp.vertex_ai",
        }
    }

    /// How its clients expect errors.
    pub fn error_shape(self) -> ErrorShape {
        match self {
            Self::Openai | Self::Mistral | Self::AzureOpenai => ErrorShape::OpenAi,
            Self::Anthropic => ErrorShape::Anthropic,
            Self::Gemini | Self::VertexAi => ErrorShape::Google,
        }
    }
}

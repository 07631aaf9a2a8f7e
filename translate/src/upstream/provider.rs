//! What is particular to each provider in an Upstream: default host, paths, model and version. Source: `ai.proto` of solo-io/gloo, its
//! port in kgateway, and the providers' own API references for the paths.

use crds::{Anthropic, AuthToken, AzureOpenAi, CustomHost, Gemini, JsonSchemaName, Mistral, OpenAi, Publisher, VertexAi};
use policy::config::ProviderPaths;
use policy::{ProviderKind, Reason};

use super::{Refused, address, text};
use crate::finding::{Finding, Flaw};

/// The API version that Anthropic documents, where the Upstream names none.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Where the Upstream names none: the version that has all models.
const GEMINI_VERSION: &str = "v1beta";
/// Where the Upstream names none.
const VERTEX_VERSION: &str = "v1";

/// A provider before its address, paths and credential are settled.
#[derive(Debug)]
pub(super) struct Draft<'u> {
    pub(super) kind: ProviderKind,
    /// Its field below `spec.ai`.
    pub(super) field: &'static str,
    /// Its own host; `None` where only `customHost` can say it.
    pub(super) host: Option<String>,
    pub(super) auth_token: Option<&'u AuthToken>,
    pub(super) custom_host: Option<&'u CustomHost>,
    pub(super) paths: ProviderPaths,
    /// Replaces the body's model, where the model is not in the path.
    pub(super) model: Option<String>,
    /// Value of `anthropic-version`.
    pub(super) version: Option<String>,
    pub(super) warnings: Vec<Finding>,
}

/// The draft of a provider that is served.
pub(super) fn draft(provider: crds::Provider<'_>) -> Result<Draft<'_>, Refused> {
    let field = provider.field();
    let draft = match provider {
        crds::Provider::OpenAi(given) => Ok(openai(given)),
        crds::Provider::Mistral(given) => Ok(mistral(given)),
        crds::Provider::Anthropic(given) => anthropic(given),
        crds::Provider::AzureOpenAi(given) => azure_openai(given),
        crds::Provider::Gemini(given) => gemini(given),
        crds::Provider::VertexAi(given) => vertex_ai(given),
        crds::Provider::Bedrock(_) | crds::Provider::Multi(_) => {
            let message = format!("{field} is understood, but not served yet: requests are refused; use another provider until then");
            return Err(Refused::new(Reason::NotServedYet, &format!("spec.ai.{field}"), "NotServedYet", message));
        }
    };
    draft.map_err(|flaw| Refused::invalid(flaw.under(&format!(".{field}"))))
}

fn paths<K: Into<String>>(keep: impl IntoIterator<Item = K>, chat: String) -> ProviderPaths {
    ProviderPaths { keep: keep.into_iter().map(Into::into).collect(), chat, ..ProviderPaths::default() }
}

/// `version` and the versions that clients use, each once: of what an Upstream names, all versions are the client's choice.
fn versions<'v>(version: &'v str, known: [&'v str; 2]) -> impl Iterator<Item = &'v str> {
    std::iter::once(version).chain(known.into_iter().filter(move |known| *known != version))
}

fn openai(given: &OpenAi) -> Draft<'_> {
    Draft {
        kind: ProviderKind::Openai,
        field: "openai",
        host: Some("api.openai.com".to_owned()),
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths: paths(["/v1/"], "/v1/chat/completions".to_owned()),
        model: text::set(&given.model).map(str::to_owned),
        version: None,
        warnings: Vec::new(),
    }
}

fn mistral(given: &Mistral) -> Draft<'_> {
    Draft {
        kind: ProviderKind::Mistral,
        field: "mistral",
        host: Some("api.mistral.ai".to_owned()),
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths: paths(["/v1/"], "/v1/chat/completions".to_owned()),
        model: text::set(&given.model).map(str::to_owned),
        version: None,
        warnings: Vec::new(),
    }
}

fn anthropic(given: &Anthropic) -> Result<Draft<'_>, Flaw> {
    Ok(Draft {
        kind: ProviderKind::Anthropic,
        field: "anthropic",
        host: Some("api.anthropic.com".to_owned()),
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths: paths(["/v1/"], "/v1/messages".to_owned()),
        model: text::set(&given.model).map(str::to_owned),
        version: Some(text::or(&given.version, ANTHROPIC_VERSION, "version")?.to_owned()),
        warnings: Vec::new(),
    })
}

/// <https://learn.microsoft.com/azure/ai-services/openai/reference>: the deployment stands for the model, and `api-version` is required.
/// A client may not choose another deployment, nor what is not of a deployment.
fn azure_openai(given: &AzureOpenAi) -> Result<Draft<'_>, Flaw> {
    let deployment = text::needed(&given.deployment_name, "deploymentName")?;
    let version = text::needed(&given.api_version, "apiVersion")?;
    let own = format!("/openai/deployments/{deployment}/");
    let chat = format!("{own}chat/completions");
    let mut paths = paths([own], chat);
    paths.query = Some(("api-version".to_owned(), version.to_owned()));
    Ok(Draft {
        kind: ProviderKind::AzureOpenai,
        field: "azureOpenai",
        host: azure_host(given)?,
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths,
        model: None,
        version: None,
        warnings: Vec::new(),
    })
}

/// "If the scheme is included, it is stripped" (AzureOpenAI.endpoint); the connection is TLS all the same.
fn azure_host(given: &AzureOpenAi) -> Result<Option<String>, Flaw> {
    let Some(endpoint) = text::set(&given.endpoint) else {
        let custom = given.custom_host.as_ref().and_then(|custom| text::set(&custom.host));
        let missing = || Flaw::new(".endpoint", "endpoint is missing: name the resource's host, such as NAME.openai.azure.com");
        return custom.map(|_| None).ok_or_else(missing);
    };
    let bare = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    address::name(bare.strip_suffix('/').unwrap_or(bare), ".endpoint").map(Some)
}

/// <https://ai.google.dev/api/generate-content>: a client may choose what to ask of the model, and not another model.
fn gemini(given: &Gemini) -> Result<Draft<'_>, Flaw> {
    let version = text::or(&given.api_version, GEMINI_VERSION, "apiVersion")?;
    let model = text::needed(&given.model, "model")?;
    Ok(Draft {
        kind: ProviderKind::Gemini,
        field: "gemini",
        host: Some("generativelanguage.googleapis.com".to_owned()),
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths: paths(
            versions(version, ["v1", "v1beta"]).map(|version| format!("/{version}/models/{model}:")),
            format!("/{version}/models/{model}:generateContent"),
        ),
        model: None,
        version: None,
        warnings: Vec::new(),
    })
}

/// <https://cloud.google.com/vertex-ai/docs/reference/rest>: a client may choose what is of the project in its location.
fn vertex_ai(given: &VertexAi) -> Result<Draft<'_>, Flaw> {
    let location = text::needed(&given.location, "location")?;
    let version = text::or(&given.api_version, VERTEX_VERSION, "apiVersion")?;
    let project = text::needed(&given.project_id, "projectId")?;
    let own = format!("projects/{project}/locations/{location}/");
    Ok(Draft {
        kind: ProviderKind::VertexAi,
        field: "vertexAi",
        host: Some(vertex_host(location)?),
        auth_token: given.auth_token.as_ref(),
        custom_host: given.custom_host.as_ref(),
        paths: paths(
            versions(version, ["v1", "v1beta1"]).map(|version| format!("/{version}/{own}")),
            format!("/{version}/{own}{}", vertex_model(given)?),
        ),
        model: None,
        version: None,
        warnings: json_schema_warning(given).into_iter().collect(),
    })
}

/// The location `global` has no host of its own (Vertex AI, "Locations", global endpoint).
fn vertex_host(location: &str) -> Result<String, Flaw> {
    match location {
        "global" => Ok("aiplatform.googleapis.com".to_owned()),
        location => address::name(&format!("{location}-aiplatform.googleapis.com"), ".location"),
    }
}

/// `modelPath` is the verb behind the model ("The model path to route to. Defaults to the Gemini model path, `generateContent`").
fn vertex_model(given: &VertexAi) -> Result<String, Flaw> {
    let model = text::needed(&given.model, "model")?;
    let verb = text::or(&given.model_path, "generateContent", "modelPath")?.trim_start_matches(':');
    let publisher = match &given.publisher {
        None | Some(Publisher::Google) => "google".to_owned(),
        Some(Publisher::Other(other)) => text::segment(other, "publisher")?.to_ascii_lowercase(),
    };
    Ok(format!("publishers/{publisher}/models/{model}:{verb}"))
}

fn json_schema_warning(given: &VertexAi) -> Option<Finding> {
    match &given.json_schema {
        None | Some(JsonSchemaName::NotSet) => None,
        Some(JsonSchemaName::Anthropic | JsonSchemaName::Gemini | JsonSchemaName::OpenAi | JsonSchemaName::Other(_)) => {
            let message = "jsonSchema has no effect: requests and answers pass as they are; send what the model's own API takes";
            Some(Finding::warning("spec.ai.vertexAi.jsonSchema", "UnsupportedField", message))
        }
    }
}

//! Which of the providers' endpoints a request is for. Paths are matched exactly: a gateway that rewrites wrongly must fail.

use http::{Method, Uri};

/// Whose manners an endpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    /// OpenAI, and Mistral, which speaks the same.
    OpenAi,
    Azure,
    Anthropic,
    Gemini,
    Vertex,
}

/// What is asked of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Embeddings,
    Models,
    Messages,
    /// Gemini's `generateContent`.
    Generate,
    /// Gemini's `streamGenerateContent`.
    StreamGenerate,
    Unknown,
}

/// An endpoint: the provider and the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) provider: Provider,
    pub(crate) operation: Operation,
}

impl Endpoint {
    /// The endpoint of a request; an unknown one is an OpenAI endpoint that answers 404.
    pub(crate) fn of(method: &Method, uri: &Uri, base_path: &str) -> Self {
        let path = uri.path().strip_prefix(base_path).unwrap_or_default();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (provider, operation) = match *method {
            Method::POST => posted(&segments, uri.query()),
            Method::GET => (Provider::OpenAi, got(&segments)),
            _ => (Provider::OpenAi, Operation::Unknown),
        };
        Self { provider, operation }
    }
}

fn got(segments: &[&str]) -> Operation {
    match segments {
        ["v1", "models"] | ["v1", "models", _] => Operation::Models,
        _ => Operation::Unknown,
    }
}

fn posted(segments: &[&str], query: Option<&str>) -> (Provider, Operation) {
    match segments {
        ["v1", "chat", "completions"] => (Provider::OpenAi, Operation::Chat),
        ["v1", "embeddings"] => (Provider::OpenAi, Operation::Embeddings),
        ["v1", "messages"] => (Provider::Anthropic, Operation::Messages),
        ["openai", "deployments", _, rest @ ..] => (Provider::Azure, azure(rest, query)),
        ["v1" | "v1beta", "models", action] => (Provider::Gemini, generate(action)),
        ["v1" | "v1beta1", "projects", _, "locations", _, "publishers", _, "models", action] => (Provider::Vertex, generate(action)),
        ["v1" | "v1beta1", "projects", _, "locations", _, "endpoints", _, "chat", "completions"] => (Provider::Vertex, Operation::Chat),
        _ => (Provider::OpenAi, Operation::Unknown),
    }
}

/// Azure answers 404 to a call without `api-version`.
fn azure(rest: &[&str], query: Option<&str>) -> Operation {
    let versioned = query.unwrap_or_default().split('&').any(|pair| pair.starts_with("api-version=") && pair.len() > "api-version=".len());
    match rest {
        ["chat", "completions"] if versioned => Operation::Chat,
        ["embeddings"] if versioned => Operation::Embeddings,
        _ => Operation::Unknown,
    }
}

fn generate(action: &str) -> Operation {
    match action.split_once(':') {
        Some((_, "generateContent")) => Operation::Generate,
        Some((_, "streamGenerateContent")) => Operation::StreamGenerate,
        _ => Operation::Unknown,
    }
}

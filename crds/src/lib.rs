//! Keyward's API types and the rules about them: what a manifest may say, read once, here, by every other room.
//!
//! ```text
//! manifest ─► Upstream { spec.ai } ─► Ai::provider() ─► Provider::OpenAi(&OpenAi) ─► AuthToken::source() ─► TokenSource
//!                                          └ ProviderError                                └ TokenSourceError
//! Upstream (types + CEL) ─► crd::files() ─► bin/crdgen ─► config/crd/*.yaml
//! any object as JSON ─► credentials::inline_credentials() ─► [Violation { field, reason }]
//! ```
//!
//! A user's mistake parses and comes out as a value ([`ProviderError`], [`TokenSourceError`]) with the remedy in its words; the
//! same rule stands in the CRD as CEL, so an API server refuses it first. Nothing here calls a client, reads a clock or does IO.

pub mod crd;
pub mod credentials;
pub mod gateway_parameters;
pub mod upstream;

pub use gateway_parameters::{GatewayParameters, GatewayParametersSpec};
pub use upstream::ai::{
    Ai, Anthropic, AzureOpenAi, Bedrock, Gemini, Mistral, Multi, OpenAi, PoolEntry, Priority, Provider, ProviderError, VertexAi,
};
pub use upstream::auth::{AuthToken, AwsKeys, CredentialProvider, CredentialSource, Passthrough, SecretRef, TokenSource, TokenSourceError};
pub use upstream::host::{CustomHost, PathOverride};
pub use upstream::token::Token;
pub use upstream::vertex::{JsonSchemaName, Publisher};
pub use upstream::{Upstream, UpstreamSpec, UpstreamStatus};

//! Where a credential comes from: `authToken` of most providers and `credentialProvider` of bedrock, both "exactly one of". It tells
//! which; it never resolves a Secret.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::token::Token;

/// Gloo's schema makes every field optional and leaves "exactly one" to the controller (proto `oneof auth_token_source`); here the API
/// server says it. Objects from before this rule stay editable: an unchanged violation is ratcheted (Kubernetes 1.30 and later).
const EXACTLY_ONE_SOURCE: &str = "[has(self.inline), has(self.secretRef), has(self.passthrough)].filter(x, x == true).size() == 1";

/// The token with which the provider is called: exactly one of the three.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(EXACTLY_ONE_SOURCE).message(
    "authToken needs exactly one of secretRef, passthrough and inline: keep one and remove the others (secretRef keeps the token out of the manifest)"
))]
pub struct AuthToken {
    /// The token itself. The least secure way: whoever may read this object has the token. Prefer `secretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<Token>,
    /// The Secret that holds the token under the key `Authorization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// Send on the token that the client's request carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough: Option<Passthrough>,
}

/// A Secret by name. Other fields, such as a stray `kind`, are ignored, as an API server prunes them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the Secret. Defaults to that of the Upstream; another one needs a ReferenceGrant there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Empty: its presence is the choice.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct Passthrough {}

/// The one source that an [`AuthToken`] names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokenSource<'a> {
    /// The token stands in the manifest. It may be empty, which is not the same as absent.
    Inline(&'a Token),
    /// The token stands in a Secret.
    SecretRef(&'a SecretRef),
    /// The token comes with each request.
    Passthrough,
}

/// Why no one source can be told. The text begins with the field; whoever knows the way to it puts that before.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum TokenSourceError {
    /// No source at all.
    #[error("{field}: no credential source is set; set exactly one of {allowed}")]
    Missing {
        /// `authToken` or `credentialProvider`.
        field: &'static str,
        /// The sources that the field allows, the best first.
        allowed: &'static str,
    },
    /// More than one source, so it cannot be told which credential is meant.
    #[error("{field}: {} are set together; keep exactly one of {allowed} and remove the others", .named.join(" and "))]
    Several {
        /// `authToken` or `credentialProvider`.
        field: &'static str,
        /// The sources that the field allows, the best first.
        allowed: &'static str,
        /// The sources that are set.
        named: Vec<&'static str>,
    },
}

impl AuthToken {
    /// The one source of the token, or which ones are in each other's way.
    pub fn source(&self) -> Result<TokenSource<'_>, TokenSourceError> {
        let set = [
            ("inline", self.inline.as_ref().map(TokenSource::Inline)),
            ("secretRef", self.secret_ref.as_ref().map(TokenSource::SecretRef)),
            ("passthrough", self.passthrough.as_ref().map(|_| TokenSource::Passthrough)),
        ];
        exactly_one("authToken", "secretRef, passthrough, inline", set)
    }
}

fn exactly_one<T, const N: usize>(
    field: &'static str,
    allowed: &'static str,
    sources: [(&'static str, Option<T>); N],
) -> Result<T, TokenSourceError> {
    let mut set: Vec<(&'static str, T)> = sources.into_iter().filter_map(|(name, source)| source.map(|source| (name, source))).collect();
    match (set.pop(), set.is_empty()) {
        (None, _) => Err(TokenSourceError::Missing { field, allowed }),
        (Some((_, source)), true) => Ok(source),
        (Some((last, _)), false) => {
            let named = set.iter().map(|(name, _)| *name).chain([last]).collect();
            Err(TokenSourceError::Several { field, allowed, named })
        }
    }
}

const EXACTLY_ONE_CREDENTIAL: &str = "[has(self.secretRef), has(self.inline)].filter(x, x == true).size() == 1";

/// The AWS keys with which bedrock's requests are signed: exactly one of the two.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(EXACTLY_ONE_CREDENTIAL).message(
    "credentialProvider needs exactly one of secretRef and inline: keep one and remove the other (secretRef keeps the keys out of the manifest)"
))]
pub struct CredentialProvider {
    /// The Secret that holds the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// The keys themselves. The least secure way. Prefer `secretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<AwsKeys>,
}

/// AWS keys written in the manifest.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AwsKeys {
    /// AWS access key id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Token>,
    /// AWS secret access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Token>,
    /// Session token of temporary keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Token>,
}

/// The one source that a [`CredentialProvider`] names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CredentialSource<'a> {
    /// The keys stand in the manifest.
    Inline(&'a AwsKeys),
    /// The keys stand in a Secret.
    SecretRef(&'a SecretRef),
}

impl CredentialProvider {
    /// The one source of the keys, or which ones are in each other's way.
    pub fn source(&self) -> Result<CredentialSource<'_>, TokenSourceError> {
        let set = [
            ("secretRef", self.secret_ref.as_ref().map(CredentialSource::SecretRef)),
            ("inline", self.inline.as_ref().map(CredentialSource::Inline)),
        ];
        exactly_one("credentialProvider", "secretRef, inline", set)
    }
}

//! The wire form: one JSON object per resource. The one place where a [`crate::Token`] is written in clear.
//!
//! In a file the objects stand one after the other. On the configuration channel (delta xDS) each is the value of an `Any` of type
//! [`TYPE_URL`], and what one response upserts and removes is one [`Delta`].

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Backend, Config, Endpoints, Listener, Rule, Secret};
use crate::secret::exposed;

/// The type of every resource on the configuration channel.
pub const TYPE_URL: &str = "type.googleapis.com/keyward.dev.v1.Resource";

pub(crate) const LISTENER: &str = "listener";
/// The kind of a [`Rule`], as [`Resource::kind`] has it.
pub const RULE: &str = "rule";
/// The kind of a [`Backend`], as [`Resource::kind`] has it.
pub const BACKEND: &str = "backend";
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const SECRET: &str = "secret";

/// A named resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Unique among resources of its kind.
    pub name: String,
    /// Its content.
    #[serde(flatten)]
    pub resource: Resource,
}

/// What travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "spec", rename_all = "camelCase")]
pub enum Resource {
    /// See [`Listener`].
    Listener(Arc<Listener>),
    /// See [`Rule`].
    Rule(Arc<Rule>),
    /// See [`Backend`].
    Backend(Arc<Backend>),
    /// See [`Endpoints`].
    Endpoints(Arc<Endpoints>),
    /// See [`Secret`].
    Secret(Arc<Secret>),
}

impl Resource {
    /// The first part of a name on the configuration channel.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listener(_) => LISTENER,
            Self::Rule(_) => RULE,
            Self::Backend(_) => BACKEND,
            Self::Endpoints(_) => ENDPOINTS,
            Self::Secret(_) => SECRET,
        }
    }
}

impl Named {
    /// `KIND/NAME`: unique on the configuration channel, where all kinds share one type.
    pub fn xds_name(&self) -> String {
        format!("{}/{}", self.resource.kind(), self.name)
    }
}

/// What changes at once. Of one name, the last entry counts, and one that is upserted is not removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// New or changed.
    pub upsert: Vec<Named>,
    /// Gone, as [`Named::xds_name`] has it. One that is not there is ignored.
    pub remove: Vec<String>,
}

impl Delta {
    /// What makes `wanted` of `held`. Names all of `wanted`: whoever applies it finds what differs.
    pub fn between(held: &Config, wanted: &Config) -> Self {
        let gone = gone(LISTENER, &held.listeners, &wanted.listeners)
            .chain(gone(RULE, &held.rules, &wanted.rules))
            .chain(gone(BACKEND, &held.backends, &wanted.backends))
            .chain(gone(ENDPOINTS, &held.endpoints, &wanted.endpoints))
            .chain(gone(SECRET, &held.secrets, &wanted.secrets));
        Self { upsert: resources(wanted).collect(), remove: gone.collect() }
    }
}

impl From<&Config> for Delta {
    /// From nothing.
    fn from(config: &Config) -> Self {
        Self { upsert: resources(config).collect(), remove: Vec::new() }
    }
}

/// Where a wire document cannot be read. serde's own words stay out of it: they quote the value, which may be a token.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: not a resource that this version understands ({kind:?} error)")]
pub struct WireError {
    line: usize,
    column: usize,
    kind: serde_json::error::Category,
}

impl From<&serde_json::Error> for WireError {
    fn from(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column(), kind: error.classify() }
    }
}

/// One resource, as it travels on the configuration channel. Holds tokens in clear.
pub fn encode_one(named: &Named) -> Result<Vec<u8>, WireError> {
    exposed(|| serde_json::to_vec(named)).map_err(|error| WireError::from(&error))
}

/// Reads what [`encode_one`] wrote.
pub fn decode_one(bytes: &[u8]) -> Result<Named, WireError> {
    serde_json::from_slice(bytes).map_err(|error| WireError::from(&error))
}

/// All resources of a configuration, one JSON object per line. Holds tokens in clear.
pub fn encode(config: &Config) -> Result<String, WireError> {
    let mut lines = String::new();
    for named in resources(config) {
        let json = exposed(|| serde_json::to_string(&named)).map_err(|error| WireError::from(&error))?;
        lines.push_str(&json);
        lines.push('\n');
    }
    Ok(lines)
}

/// Reads what [`encode`] wrote, resource by resource.
pub fn decode(lines: impl BufRead) -> Result<Config, WireError> {
    let mut config = Config::default();
    for named in serde_json::Deserializer::from_reader(lines).into_iter() {
        config.put(named.map_err(|error| WireError::from(&error))?);
    }
    Ok(config)
}

impl Config {
    /// Takes a resource over; gives whether that changes anything.
    pub fn put(&mut self, Named { name, resource }: Named) -> bool {
        match resource {
            Resource::Listener(listener) => put(&mut self.listeners, name, listener),
            Resource::Rule(rule) => put(&mut self.rules, name, rule),
            Resource::Backend(backend) => put(&mut self.backends, name, backend),
            Resource::Endpoints(endpoints) => put(&mut self.endpoints, name, endpoints),
            Resource::Secret(secret) => put(&mut self.secrets, name, secret),
        }
    }

    /// Drops a resource by its [`Named::xds_name`]; gives whether it was there.
    pub fn remove(&mut self, xds_name: &str) -> bool {
        let Some((kind, name)) = xds_name.split_once('/') else { return false };
        match kind {
            LISTENER => self.listeners.remove(name).is_some(),
            RULE => self.rules.remove(name).is_some(),
            BACKEND => self.backends.remove(name).is_some(),
            ENDPOINTS => self.endpoints.remove(name).is_some(),
            SECRET => self.secrets.remove(name).is_some(),
            _ => false,
        }
    }
}

fn put<T: PartialEq>(map: &mut BTreeMap<String, Arc<T>>, name: String, value: Arc<T>) -> bool {
    let same = map.get(&name) == Some(&value);
    if !same {
        map.insert(name, value);
    }
    !same
}

fn resources(config: &Config) -> impl Iterator<Item = Named> {
    named(&config.listeners, Resource::Listener)
        .chain(named(&config.secrets, Resource::Secret))
        .chain(named(&config.endpoints, Resource::Endpoints))
        .chain(named(&config.backends, Resource::Backend))
        .chain(named(&config.rules, Resource::Rule))
}

fn named<T>(map: &BTreeMap<String, Arc<T>>, resource: fn(Arc<T>) -> Resource) -> impl Iterator<Item = Named> {
    map.iter().map(move |(name, value)| Named { name: name.clone(), resource: resource(Arc::clone(value)) })
}

fn gone<T>(kind: &'static str, held: &BTreeMap<String, T>, wanted: &BTreeMap<String, T>) -> impl Iterator<Item = String> {
    held.keys().filter(move |name| !wanted.contains_key(*name)).map(move |name| format!("{kind}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;

    #[test]
    fn writes_tokens_in_clear_and_reads_them_back() {
        let mut config = Config::default();
        config.secrets.insert("s".into(), Arc::new(Secret::Token(Token::new("sk-canary"))));
        let lines = encode(&config).unwrap();
        assert!(lines.contains("sk-canary"));
        assert_eq!(decode(lines.as_bytes()).unwrap(), config);
    }

    #[test]
    fn one_resource_travels_alone_and_is_named_by_its_kind() {
        let secret = Named { name: "ns/openai".into(), resource: Resource::Secret(Arc::new(Secret::Token(Token::new("sk-canary")))) };
        let bytes = encode_one(&secret).unwrap();
        assert_eq!(decode_one(&bytes).unwrap(), secret);
        assert_eq!(secret.xds_name(), "secret/ns/openai");
        let kind: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(kind["type"], secret.resource.kind());
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn a_delta_names_what_is_wanted_and_what_is_gone() {
        let (mut held, mut wanted) = (Config::default(), Config::default());
        held.rules.insert("HTTPRoute/ns/old/0".into(), Arc::default());
        held.endpoints.insert("kept".into(), Arc::default());
        wanted.endpoints.insert("kept".into(), Arc::default());
        let delta = Delta::between(&held, &wanted);
        assert_eq!(delta.remove, ["rule/HTTPRoute/ns/old/0"]);
        assert_eq!(delta, Delta { remove: delta.remove.clone(), ..Delta::from(&wanted) });
    }

    #[test]
    fn an_error_does_not_quote_the_document() {
        let wrong =
            [r#"{"name":"s","type":"secret","spec":"sk-canary"}"#, r#"{"name":"s","type":"secret","spec":{"sk-canary":1}}"#, "sk-canary"];
        for line in wrong {
            let error = decode(line.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
            let error = decode_one(line.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}

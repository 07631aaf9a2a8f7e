//! The wire form: one JSON object per resource. The one place where a [`crate::Token`] is written in clear.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Backend, Config, Endpoints, Listener, Rule, Secret};
use crate::secret::exposed;

/// A named resource.
#[derive(Debug, Serialize, Deserialize)]
pub struct Named {
    /// Unique among resources of its kind.
    pub name: String,
    /// Its content.
    #[serde(flatten)]
    pub resource: Resource,
}

/// What travels.
#[derive(Debug, Serialize, Deserialize)]
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
        insert(&mut config, named.map_err(|error| WireError::from(&error))?);
    }
    Ok(config)
}

fn insert(config: &mut Config, Named { name, resource }: Named) {
    match resource {
        Resource::Listener(listener) => drop(config.listeners.insert(name, listener)),
        Resource::Rule(rule) => drop(config.rules.insert(name, rule)),
        Resource::Backend(backend) => drop(config.backends.insert(name, backend)),
        Resource::Endpoints(endpoints) => drop(config.endpoints.insert(name, endpoints)),
        Resource::Secret(secret) => drop(config.secrets.insert(name, secret)),
    }
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
    fn an_error_does_not_quote_the_document() {
        let wrong =
            [r#"{"name":"s","type":"secret","spec":"sk-canary"}"#, r#"{"name":"s","type":"secret","spec":{"sk-canary":1}}"#, "sk-canary"];
        for line in wrong {
            let error = decode(line.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}

//! Rules and backends, compiled: shared by the table, by requests in flight and by the proxy's pools.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::HeaderValue;

use crate::config::{
    AppProtocol, Backend, BackendRef, Config, Credential, Mirror, Provider, ProviderPaths, RouteKey, Rule, Secret, Timeouts,
};
use crate::credential::header_value;
use crate::filter::CompiledFilters;
use crate::tls::PodTls;
use crate::{ErrorShape, ProviderKind, Reason};

/// A rule, ready to decide with.
#[derive(Debug, Default)]
pub struct CompiledRule {
    /// Of the resource.
    name: Arc<str>,
    /// As configured.
    source: Arc<Rule>,
    /// Whole exchange.
    pub request_timeout: Option<Duration>,
    /// Each try.
    pub backend_timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<RetryPolicy>,
    pub(crate) filters: CompiledFilters,
    pub(crate) backends: Box<[WeightedBackend]>,
    pub(crate) mirrors: Box<[CompiledMirror]>,
    pub(crate) total_weight: u64,
    pub(crate) refuse: Option<Reason>,
}

/// When to try again.
#[derive(Debug)]
pub struct RetryPolicy {
    /// Statuses tried again.
    pub codes: Box<[u16]>,
    /// Tries after the first.
    pub attempts: u32,
    /// Pause before each.
    pub backoff: Duration,
}

pub(crate) type CompiledMirror = (Mirror, Arc<CompiledBackend>);

#[derive(Debug)]
pub(crate) struct WeightedBackend {
    weight: u32,
    pub(crate) target: Result<Arc<CompiledBackend>, Reason>,
    pub(crate) filters: CompiledFilters,
    pub(crate) mirrors: Box<[CompiledMirror]>,
}

/// A destination.
#[derive(Debug)]
pub struct CompiledBackend {
    /// For logs.
    pub name: String,
    /// Where it is.
    pub target: Target,
}

/// Where requests go.
#[derive(Debug)]
pub enum Target {
    /// Pods of a Service.
    Service {
        /// Ready addresses.
        endpoints: Box<[SocketAddr]>,
        /// What they speak.
        protocol: AppProtocol,
        /// `None`: in clear. An error: no connection is made.
        tls: Result<Option<Arc<PodTls>>, Reason>,
    },
    /// A model provider.
    Provider(Box<Upstream>),
}

/// A provider, with its credential prepared.
#[derive(Debug)]
pub struct Upstream {
    /// Which one.
    pub kind: ProviderKind,
    /// Where it is.
    pub origin: Arc<Origin>,
    /// Replaces the body's `model`.
    pub model: Option<String>,
    pub(crate) host_header: HeaderValue,
    pub(crate) version: Option<HeaderValue>,
    pub(crate) credential: CompiledCredential,
    pub(crate) paths: ProviderPaths,
}

/// Where a provider is and as whom it must prove itself. Connections are shared between requests of one origin only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Host to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Name to verify and to send as SNI.
    pub hostname: String,
    /// Whether the connection is TLS.
    pub tls: bool,
}

#[derive(Debug)]
pub(crate) enum CompiledCredential {
    Value(HeaderValue),
    Passthrough,
    Unavailable(Reason),
}

impl CompiledRule {
    /// Where it came from, for logs.
    pub fn route(&self) -> &RouteKey {
        &self.source.route
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn source(&self) -> &Arc<Rule> {
        &self.source
    }

    pub(crate) fn compile(name: &Arc<str>, rule: &Arc<Rule>, backends: &Backends) -> Result<Self, String> {
        let weighted = rule.backends.iter().map(|b| WeightedBackend::compile(b, backends)).collect::<Result<Box<[_]>, _>>()?;
        let Timeouts { request_ms, backend_request_ms } = rule.timeouts;
        Ok(Self {
            name: Arc::clone(name),
            source: Arc::clone(rule),
            request_timeout: request_ms.map(Duration::from_millis),
            backend_timeout: backend_request_ms.map(Duration::from_millis),
            retry: rule.retry.as_ref().map(|retry| RetryPolicy {
                codes: retry.codes.clone().into(),
                attempts: retry.attempts,
                backoff: Duration::from_millis(retry.backoff_ms),
            }),
            filters: CompiledFilters::compile(&rule.filters)?,
            total_weight: weighted.iter().map(|b| u64::from(b.weight)).sum(),
            backends: weighted,
            mirrors: backends.mirrors(&rule.filters.mirrors)?,
            refuse: rule.refuse,
        })
    }

    /// In place of a rule that cannot be compiled.
    pub(crate) fn refusing(name: &Arc<str>, rule: &Arc<Rule>) -> Self {
        Self { name: Arc::clone(name), source: Arc::clone(rule), refuse: Some(Reason::InvalidRule), ..Self::default() }
    }

    /// The destination for a uniformly drawn number.
    pub(crate) fn pick(&self, draw: u64) -> Option<usize> {
        if let ([only], true) = (&*self.backends, self.total_weight > 0) {
            debug_assert!(only.weight > 0);
            return Some(0);
        }
        let mut left = draw.checked_rem(self.total_weight)?;
        self.backends.iter().position(|backend| match left.checked_sub(u64::from(backend.weight)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }
}

impl WeightedBackend {
    fn compile(backend: &BackendRef, backends: &Backends) -> Result<Self, String> {
        let target = match &backend.backend {
            Ok(name) => Ok(backends.get(name)?),
            Err(reason) => Err(*reason),
        };
        let filters = backend.filters.as_deref();
        Ok(Self {
            weight: backend.weight,
            target,
            filters: filters.map(CompiledFilters::compile).transpose()?.unwrap_or_default(),
            mirrors: backends.mirrors(filters.map(|filters| filters.mirrors.as_slice()).unwrap_or_default())?,
        })
    }
}

impl CompiledBackend {
    /// How clients of this backend expect errors; `None`: it is no AI provider.
    pub fn error_shape(&self) -> Option<ErrorShape> {
        match &self.target {
            Target::Provider(upstream) => Some(upstream.kind.error_shape()),
            Target::Service { .. } => None,
        }
    }

    pub(crate) fn compile(name: &str, backend: &Backend, config: &Config) -> Result<Self, String> {
        let target = match backend {
            Backend::Service { endpoints, protocol, tls } => Target::Service {
                endpoints: config.endpoints.get(endpoints).map(|e| e.addresses.clone().into()).unwrap_or_default(),
                protocol: *protocol,
                tls: tls.as_ref().map(|tls| PodTls::compile(tls.as_ref().map_err(|reason| *reason)?, config)).transpose(),
            },
            Backend::Provider(provider) => Target::Provider(Box::new(Upstream::compile(provider, config)?)),
        };
        Ok(Self { name: name.to_owned(), target })
    }
}

impl Upstream {
    /// Whether the credential is the gateway's own, so that even a provider's words about it are not for the client.
    pub fn owns_credential(&self) -> bool {
        !matches!(self.credential, CompiledCredential::Passthrough)
    }

    fn compile(provider: &Provider, config: &Config) -> Result<Self, String> {
        let credential = match &provider.credential {
            Credential::Passthrough => CompiledCredential::Passthrough,
            Credential::Unavailable(reason) => CompiledCredential::Unavailable(*reason),
            Credential::Secret(name) => match config.secrets.get(name).map(|secret| &**secret) {
                Some(Secret::Token(token)) => {
                    header_value(provider.kind, token).map_or_else(CompiledCredential::Unavailable, CompiledCredential::Value)
                }
                Some(Secret::Certificate { .. }) => CompiledCredential::Unavailable(Reason::SecretMalformed),
                None => CompiledCredential::Unavailable(Reason::SecretMissing),
            },
        };
        let default_port = if provider.tls { 443 } else { 80 };
        let host = bracketed(&provider.hostname);
        let authority = if provider.port == default_port { host.into_owned() } else { format!("{host}:{}", provider.port) };
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "its host or version cannot stand in a header".to_owned());
        Ok(Self {
            kind: provider.kind,
            origin: Arc::new(Origin {
                host: provider.host.clone(),
                port: provider.port,
                hostname: provider.hostname.clone(),
                tls: provider.tls,
            }),
            model: provider.model.clone(),
            host_header: value(&authority)?,
            version: provider.version.as_deref().map(value).transpose()?,
            credential,
            paths: provider.paths.clone(),
        })
    }
}

/// A host as an authority has it: an IPv6 address stands in brackets.
pub(crate) fn bracketed(host: &str) -> Cow<'_, str> {
    match host.contains(':') && !host.starts_with('[') {
        true => Cow::Owned(format!("[{host}]")),
        false => Cow::Borrowed(host),
    }
}

/// All compiled backends of a configuration, by name.
#[derive(Debug, Default)]
pub(crate) struct Backends(HashMap<String, Arc<CompiledBackend>, RandomState>);

impl Backends {
    /// Replaces a backend; `None`: it is gone.
    pub(crate) fn put(&mut self, name: String, backend: Option<Arc<CompiledBackend>>) {
        match backend {
            Some(backend) => drop(self.0.insert(name, backend)),
            None => drop(self.0.remove(&name)),
        }
    }

    fn get(&self, name: &str) -> Result<Arc<CompiledBackend>, String> {
        self.0.get(name).cloned().ok_or_else(|| format!("backend {name:?} is not part of the configuration"))
    }

    fn mirrors(&self, mirrors: &[Mirror]) -> Result<Box<[CompiledMirror]>, String> {
        mirrors.iter().map(|mirror| Ok((mirror.clone(), self.get(&mirror.backend)?))).collect()
    }
}

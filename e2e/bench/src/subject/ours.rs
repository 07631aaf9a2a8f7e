//! Keyward's own proxy, configured as its control plane would: one resource per line.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use policy::config::{
    AppProtocol, Attachment, Backend, BackendRef, Config, Credential, Endpoints, Filters, HeaderChanges, HeaderLiteral, HeaderText,
    HostPair, Listener, Match, PathChange, PathMatch, Protocol, Provider, ProviderPaths, Rewrite, RouteKey, Rule, Secret,
};
use policy::{Hostname, ProviderKind, Token};

use super::{Launch, Site};
use crate::payload::{HOST, ROUTE_HEADER, TOKEN, UPSTREAM_PATH, credential};
use crate::plan::Route;

const CERTIFICATE: &str = "bench/certificate";
const OPENAI_KEY: &str = "bench/openai-key";

/// What kind of backend the routes lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A Service; header filters set the credential.
    Service,
    /// OpenAI, with a credential of its own.
    Provider,
}

pub(super) fn launch(site: &Site<'_>, to: To) -> Result<Launch> {
    let config = site.write("config.jsonl", &policy::wire::encode(&config(site, to)?)?)?;
    let admin = format!("127.0.0.1:{}", site.admin);
    let arguments = ["--config", &config, "--bind", "127.0.0.1", "--admin-addr", &admin, "--threads", "1"];
    Ok(Launch { ready: Some("keyward-proxy ready"), ..Launch::new(&arguments) })
}

fn config(site: &Site<'_>, to: To) -> Result<Config> {
    let mut config = Config::default();
    config.listeners.insert("http".into(), Arc::new(listener(site.http, Protocol::Http)));
    if let Some(port) = site.https {
        config.listeners.insert("https".into(), Arc::new(listener(port, Protocol::Https)));
        let (chain, key) = (site.certificate().chain.clone(), Token::new(site.certificate().key.as_str()));
        config.secrets.insert(CERTIFICATE.into(), Arc::new(Secret::Certificate { chain, key }));
    }
    if to == To::Provider {
        config.secrets.insert(OPENAI_KEY.into(), Arc::new(Secret::Token(Token::new(TOKEN))));
    }
    let attachments = attachments(&config)?;
    for route in site.routes() {
        // Backends that lead to one address are one backend.
        let backend = format!("backend/{}", route.endpoint);
        config.backends.entry(backend.clone()).or_insert_with(|| Arc::new(target(&backend, route.endpoint, to)));
        if to == To::Service {
            config.endpoints.entry(backend.clone()).or_insert_with(|| Arc::new(Endpoints { addresses: vec![route.endpoint] }));
        }
        let filters = filters(to, site.plan.routes.sets_headers());
        config.rules.insert(format!("HTTPRoute/bench/{}/0", route.name), Arc::new(rule(&route, &attachments, backend, filters)));
    }
    Ok(config)
}

fn listener(port: u16, protocol: Protocol) -> Listener {
    let certificates = if protocol == Protocol::Https { vec![CERTIFICATE.to_owned()] } else { Vec::new() };
    Listener { port, protocol, hostname: None, certificates, client_auth: None }
}

/// Every listener serves every route, on the one host.
fn attachments(config: &Config) -> Result<Vec<Attachment>> {
    let host = Some(Hostname::parse(HOST)?);
    let attachment =
        |listener: &String| Attachment { listener: listener.clone(), hosts: vec![HostPair { host: host.clone(), original: host.clone() }] };
    Ok(config.listeners.keys().map(attachment).collect())
}

fn target(name: &str, address: SocketAddr, to: To) -> Backend {
    match to {
        To::Service => Backend::Service { endpoints: name.to_owned(), protocol: AppProtocol::Http1, tls: None },
        To::Provider => Backend::Provider(Provider {
            kind: ProviderKind::Openai,
            host: address.ip().to_string(),
            port: address.port(),
            hostname: "api.openai.com".into(),
            tls: false,
            credential: Credential::Secret(OPENAI_KEY.into()),
            paths: ProviderPaths { keep: vec!["/v1/".into()], chat: UPSTREAM_PATH.into(), ..ProviderPaths::default() },
            model: None,
            version: None,
        }),
    }
}

/// A provider rewrites the path and sets its credential by itself.
fn filters(to: To, sets_headers: bool) -> Filters {
    let header = |name: &str, value| HeaderLiteral { name: name.to_owned(), value };
    let mut set = Vec::new();
    if sets_headers {
        set.push(header(ROUTE_HEADER.0, HeaderText::Plain(ROUTE_HEADER.1.into())));
    }
    if sets_headers && to == To::Service {
        set.push(header("authorization", HeaderText::Sensitive(Token::new(credential()))));
    }
    let path = (to == To::Service).then(|| PathChange::Prefix(UPSTREAM_PATH.into()));
    Filters { request: HeaderChanges { set, ..HeaderChanges::default() }, rewrite: Rewrite { hostname: None, path }, ..Filters::default() }
}

fn rule(route: &Route, attachments: &[Attachment], backend: String, filters: Filters) -> Rule {
    Rule {
        route: RouteKey { kind: "HTTPRoute".into(), namespace: "bench".into(), name: route.name.clone() },
        attachments: attachments.to_vec(),
        matches: vec![Match { path: PathMatch::Prefix(route.prefix.clone()), ..Match::default() }],
        filters,
        backends: vec![BackendRef { weight: 1, backend: Ok(backend), filters: None }],
        ..Rule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_route_leaves_credential_and_path_to_the_provider() {
        let (service, provider) = (filters(To::Service, true), filters(To::Provider, true));
        assert_eq!((service.request.set.len(), provider.request.set.len()), (2, 1));
        assert!(service.rewrite.path.is_some() && provider.rewrite.path.is_none());
    }
}

//! haproxy as a deployer would tune it for this: one thread, upstream connections shared, many prefixes in a map.

use anyhow::Result;

use super::{Launch, Site};
use crate::payload::{ROUTE_HEADER, UPSTREAM_PATH, credential};
use crate::plan::{Route, Routes};

pub(super) fn launch(site: &Site<'_>) -> Result<Launch> {
    let routes = site.routes();
    let map: String = routes.iter().map(|route| format!("{} {UPSTREAM_PATH}\n", route.prefix)).collect();
    let map = site.write("routes.map", &map)?;
    let routing = match (site.plan.routes, routes.first()) {
        (Routes::One, Some(route)) => by_prefix(route),
        (Routes::Prefixes(_), _) => by_map(&map),
        (Routes::One | Routes::Own(_), _) => anyhow::bail!("haproxy is not asked to serve a backend for each route"),
    };
    let config = site.write("haproxy.cfg", &config(site, &routing))?;
    Ok(Launch::new(&["-db", "-f", &config]))
}

/// The fixed prefix is cut off by length: haproxy has nothing cheaper.
fn by_prefix(route: &Route) -> String {
    let (prefix, length) = (&route.prefix, route.prefix.len());
    format!(
        "http-request deny deny_status 404 unless {{ path_beg {prefix} }}
    http-request set-path {UPSTREAM_PATH}%[path,bytes({length})]"
    )
}

/// The map is a tree of prefixes; its value is the new path.
fn by_map(map: &str) -> String {
    format!(
        "http-request set-var(txn.path) path,map_beg({map})
    http-request deny deny_status 404 unless {{ var(txn.path) -m found }}
    http-request set-path %[var(txn.path)]"
    )
}

fn config(site: &Site<'_>, routing: &str) -> String {
    let (name, value) = ROUTE_HEADER;
    let tls = site
        .https
        .map_or_else(String::new, |port| format!("bind 127.0.0.1:{port} ssl crt {} alpn http/1.1", site.certificate().both_file.display()));
    let delay = if site.plan.streaming { "option http-no-delay" } else { "" };
    // `no strict-limits`: it counts two files for each connection, which idle ones do not need.
    format!(
        "global
    nbthread 1
    maxconn {connections}
    no strict-limits
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-request 600s
    timeout http-keep-alive 600s
    http-reuse always
    {delay}
frontend bench
    bind 127.0.0.1:{http}
    {tls}
    maxconn {connections}
    {routing}
    http-request set-header authorization \"{credential}\"
    http-request set-header {name} {value}
    default_backend backend
backend backend
    server backend {backend}
",
        connections = site.connections(),
        http = site.http,
        credential = credential(),
        backend = site.lab.backend,
    )
}

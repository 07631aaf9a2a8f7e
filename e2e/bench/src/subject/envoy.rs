//! Envoy as its own benchmarking advice says: no request ids, no circuit breaking, no access log; its statistics stay on, as ours do.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Launch, Site};
use crate::payload::{HOST, ROUTE_HEADER, UPSTREAM_PATH, credential};
use crate::plan::Route;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

pub(super) fn launch(site: &Site<'_>) -> Result<Launch> {
    let config = site.write("envoy.json", &bootstrap(site).to_string())?;
    Ok(Launch::new(&["-c", &config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]))
}

fn bootstrap(site: &Site<'_>) -> Value {
    let routes = site.routes();
    let mut clusters: Vec<Value> = routes.iter().map(cluster).collect();
    // Routes to one address share a cluster.
    clusters.dedup();
    let listeners: Vec<Value> = [(Some(site.http), false), (site.https, true)]
        .into_iter()
        .filter_map(|(port, tls)| Some(listener(site, port?, tls, &routes)))
        .collect();
    json!({ "static_resources": { "listeners": listeners, "clusters": clusters } })
}

fn cluster_name(route: &Route) -> String {
    format!("backend-{}", route.endpoint)
}

fn cluster(route: &Route) -> Value {
    let name = cluster_name(route);
    let address = json!({ "socket_address": { "address": route.endpoint.ip().to_string(), "port_value": route.endpoint.port() } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": { "thresholds": [{
            "max_connections": u32::MAX, "max_pending_requests": u32::MAX, "max_requests": u32::MAX, "max_retries": u32::MAX,
        }] },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn listener(site: &Site<'_>, port: u16, tls: bool, routes: &[Route]) -> Value {
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "generate_request_id": false,
        "stream_idle_timeout": "0s",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router"), "suppress_envoy_headers": true },
        }],
        "route_config": { "name": "bench", "virtual_hosts": [virtual_host(site, routes)] },
    });
    let mut chain = json!({ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] });
    if tls {
        chain["transport_socket"] = transport_socket(site);
    }
    json!({
        "name": format!("port-{port}"),
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "filter_chains": [chain],
    })
}

/// `path_separated_prefix` is what Gateway API's `PathPrefix` means, and what Envoy Gateway writes.
fn virtual_host(site: &Site<'_>, routes: &[Route]) -> Value {
    let route = |route: &Route| {
        json!({
            "match": { "path_separated_prefix": route.prefix },
            "route": { "cluster": cluster_name(route), "prefix_rewrite": UPSTREAM_PATH, "timeout": "0s" },
        })
    };
    let set = |name: &str, value: &str| json!({ "header": { "key": name, "value": value }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" });
    let headers = match site.plan.routes.sets_headers() {
        true => vec![set("authorization", &credential()), set(ROUTE_HEADER.0, ROUTE_HEADER.1)],
        false => Vec::new(),
    };
    json!({
        "name": "bench",
        "domains": [HOST],
        "request_headers_to_add": headers,
        "routes": routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn transport_socket(site: &Site<'_>) -> Value {
    let certificate = site.certificate();
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["http/1.1"],
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                "tls_certificates": [{
                    "certificate_chain": { "filename": certificate.chain_file.display().to_string() },
                    "private_key": { "filename": certificate.key_file.display().to_string() },
                }],
            },
        },
    })
}

//! nginx as a deployer would tune it for this: one worker, upstream connections kept, no access log.

use anyhow::Result;

use super::{Launch, Site};
use crate::payload::{HOST, ROUTE_HEADER, UPSTREAM_PATH, credential};
use crate::plan::Routes;

pub(super) fn launch(site: &Site<'_>) -> Result<Launch> {
    anyhow::ensure!(!matches!(site.plan.routes, Routes::Own(_)), "nginx is not asked to serve a backend for each route");
    let config = site.write("nginx.conf", &config(site))?;
    Ok(Launch::new(&["-c", &config, "-e", &site.path("error.log")]))
}

fn config(site: &Site<'_>) -> String {
    let temporary = |what: &str| format!("{what}_temp_path {};", site.path(what));
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(temporary).join("\n    ");
    format!(
        "daemon off;
user root root;
worker_processes 1;
pid {pid};
error_log {errors} warn;
events {{ worker_connections {connections}; }}
http {{
    {temporary}
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream backend {{
        server {backend};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
{server}
}}
",
        pid = site.path("nginx.pid"),
        errors = site.path("error.log"),
        connections = site.connections() + 1100,
        backend = site.lab.backend,
        server = server(site),
    )
}

fn server(site: &Site<'_>) -> String {
    let (name, value) = ROUTE_HEADER;
    let tls = site.https.map_or_else(String::new, |port| {
        let certificate = site.certificate();
        format!(
            "listen 127.0.0.1:{port} ssl;\n        ssl_protocols TLSv1.3;\n        ssl_certificate {};\n        ssl_certificate_key {};",
            certificate.chain_file.display(),
            certificate.key_file.display()
        )
    });
    let buffering = if site.plan.streaming { "off" } else { "on" };
    let route = |prefix: String| format!("        location {prefix} {{ proxy_pass http://backend{UPSTREAM_PATH}; }}\n");
    let locations: String = site.routes().into_iter().map(|served| route(served.prefix)).collect();
    format!(
        "    server {{
        listen 127.0.0.1:{http};
        {tls}
        server_name {HOST};
        proxy_http_version 1.1;
        proxy_buffering {buffering};
        proxy_set_header Host $host;
        proxy_set_header Connection \"\";
        proxy_set_header Authorization \"{credential}\";
        proxy_set_header {name} {value};
        location / {{ return 404; }}
{locations}    }}",
        http = site.http,
        credential = credential(),
    )
}

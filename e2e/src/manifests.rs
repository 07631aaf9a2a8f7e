//! Manifests beyond the samples, all in namespace `gloo-system`. Values are YAML in flow style, inserted as they are.

use std::net::SocketAddr;

use serde_json::Value;

/// A Gateway `ai-gateway` with one HTTP listener per port.
#[must_use]
pub fn gateway(ports: &[u16]) -> String {
    let listeners: Vec<String> = ports.iter().map(|port| format!("{{name: http-{port}, protocol: HTTP, port: {port}}}")).collect();
    gateway_with(&listeners)
}

/// A Gateway `ai-gateway` with these listeners, each given whole.
#[must_use]
pub fn gateway_with(listeners: &[impl AsRef<str>]) -> String {
    let listeners: String = listeners.iter().map(|listener| format!("\n  - {}", listener.as_ref())).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: ai-gateway, namespace: gloo-system}}
spec:
  gatewayClassName: keyward
  listeners:{listeners}
---
"
    )
}

/// An Upstream; `ai` is the value of `spec.ai`, such as `{openai: {authToken: {inline: sk-1}}}`.
#[must_use]
pub fn upstream(name: &str, ai: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: {name}, namespace: gloo-system}}
spec: {{ai: {ai}}}
---
"
    )
}

/// A route from the path `/NAME` to the Upstream `NAME`, rewritten to `path` as the guide does.
#[must_use]
pub fn route(name: &str, path: &str) -> String {
    let rule = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], \
         filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: {path}}}}}}}], \
         backendRefs: [{{name: {name}, group: gloo.solo.io, kind: Upstream}}]}}"
    );
    route_with(name, &rule)
}

/// A route with one rule, given whole.
#[must_use]
pub fn route_with(name: &str, rule: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: gloo-system}}
spec:
  parentRefs: [{{name: ai-gateway, namespace: gloo-system}}]
  rules:
  - {rule}
---
"
    )
}

/// A Secret with one key, `Authorization`.
#[must_use]
pub fn secret(name: &str, value: &str) -> String {
    secret_with_data(name, &format!("stringData: {{Authorization: \"{value}\"}}"))
}

/// A Secret; `data` is its `data:` or `stringData:` field.
#[must_use]
pub fn secret_with_data(name: &str, data: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: gloo-system}}
type: Opaque
{data}
---
"
    )
}

/// A Secret of type kubernetes.io/tls, of a certificate and a key in PEM.
#[must_use]
pub fn tls_secret(name: &str, certificate: &str, key: &str) -> String {
    // A JSON text is a YAML text, on one line.
    let (certificate, key) = (Value::from(certificate), Value::from(key));
    secret_with_data(name, &format!("stringData: {{tls.crt: {certificate}, tls.key: {key}}}")).replace("Opaque", "kubernetes.io/tls")
}

/// A Service `NAME` on port 80, and an EndpointSlice for each of its endpoints, since they differ in their ports.
#[must_use]
pub fn service(name: &str, endpoints: &[SocketAddr], app_protocol: Option<&str>) -> String {
    let protocol = app_protocol.map(|protocol| format!(", appProtocol: {protocol}")).unwrap_or_default();
    let slices: String = endpoints.iter().enumerate().map(|(nth, endpoint)| slice(name, nth, *endpoint)).collect();
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: gloo-system}}
spec: {{ports: [{{name: http, port: 80, protocol: TCP{protocol}}}]}}
---
{slices}"
    )
}

fn slice(name: &str, nth: usize, endpoint: SocketAddr) -> String {
    let (address, port) = (endpoint.ip(), endpoint.port());
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-{nth}, namespace: gloo-system, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
---
"
    )
}

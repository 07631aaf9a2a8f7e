//! Manifests of tests, without a namespace. Values are YAML in flow style, inserted as they are.

/// The parameters that [`crate::Provider`] leaves in its namespace: proxies with them trust the provider.
pub const PARAMETERS: &str = "e2e";

/// A Gateway with one HTTP listener on port 8080, which trusts the test's provider.
#[must_use]
pub fn gateway(name: &str) -> String {
    gateway_with(name, "[{name: http, protocol: HTTP, port: 8080}]", Some(PARAMETERS))
}

/// A Gateway with these listeners and parameters.
#[must_use]
pub fn gateway_with(name: &str, listeners: &str, parameters: Option<&str>) -> String {
    let reference = |name| format!("\n  infrastructure: {{parametersRef: {{group: keyward.dev, kind: GatewayParameters, name: {name}}}}}");
    let infrastructure = parameters.map(reference).unwrap_or_default();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: keyward{infrastructure}
  listeners: {listeners}
---
"
    )
}

/// GatewayParameters; `spec` is given whole.
#[must_use]
pub fn parameters(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: keyward.dev/v1alpha1
kind: GatewayParameters
metadata: {{name: {name}}}
spec: {spec}
---
"
    )
}

/// An Upstream of OpenAI; `more` are further fields of it, such as `customHost: {...}`.
#[must_use]
pub fn upstream(name: &str, token: &str, more: &str) -> String {
    format!(
        "apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: {name}}}
spec: {{ai: {{openai: {{authToken: {token}, {more}}}}}}}
---
"
    )
}

/// A route from the path `/NAME` to the Upstream of this name, rewritten as the guide does.
#[must_use]
pub fn route(name: &str, gateway: &str, upstream: &str) -> String {
    let rule = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /{name}}}}}], \
         filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /v1/chat/completions}}}}}}], \
         backendRefs: [{{name: {upstream}, group: gloo.solo.io, kind: Upstream}}]}}"
    );
    route_with(name, gateway, &[rule])
}

/// A route with these rules, each given whole.
#[must_use]
pub fn route_with(name: &str, gateway: &str, rules: &[String]) -> String {
    let rules: String = rules.iter().map(|rule| format!("\n  - {rule}")).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  rules:{rules}
---
"
    )
}

/// A Secret with one key, `Authorization`.
#[must_use]
pub fn secret(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{Authorization: \"{value}\"}}
---
"
    )
}

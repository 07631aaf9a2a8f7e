//! Manifests beyond the samples, all in namespace `gloo-system`. Values are YAML in flow style, inserted as they are.

/// A Gateway `ai-gateway` with one HTTP listener per port.
#[must_use]
pub fn gateway(ports: &[u16]) -> String {
    let listeners: String = ports.iter().map(|port| format!("\n  - {{name: http-{port}, protocol: HTTP, port: {port}}}")).collect();
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

//! The samples are the guide's manifests and fit together: the route reaches the Upstream, the Gateway takes the route, the Secret is
//! the one that the Upstream names.

use anyhow::Context;
use crds::{AuthToken, Provider, Token, TokenSource, Upstream};
use serde_json::{Value, json};

const KINDS: [&str; 3] = ["inline", "secret", "passthrough"];

fn text(path: &str) -> anyhow::Result<String> {
    let path = format!("{}/../config/samples/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).context(path)
}

fn value(path: &str) -> anyhow::Result<Value> {
    serde_saphyr::from_str(&text(path)?).with_context(|| path.to_owned())
}

fn auth_token(kind: &str) -> anyhow::Result<AuthToken> {
    let upstream: Upstream = serde_saphyr::from_str(&text(&format!("{kind}/upstream.yaml"))?)?;
    let ai = upstream.spec.ai.context("no spec.ai")?;
    let Provider::OpenAi(openai) = ai.provider()? else { anyhow::bail!("not openai") };
    openai.auth_token.clone().context("no authToken")
}

#[test]
fn each_upstream_has_the_source_of_its_directory() -> anyhow::Result<()> {
    assert_eq!(auth_token("inline")?.source()?, TokenSource::Inline(&Token::new("$TOKEN")));
    assert_eq!(auth_token("passthrough")?.source()?, TokenSource::Passthrough);
    let token = auth_token("secret")?;
    let TokenSource::SecretRef(secret) = token.source()? else { anyhow::bail!("not a secretRef") };
    let written = value("secret/secret.yaml")?;
    assert_eq!(secret.name.as_deref(), written["metadata"]["name"].as_str());
    assert_eq!(secret.namespace.as_deref(), written["metadata"]["namespace"].as_str());
    assert_eq!(written["stringData"]["Authorization"], json!("Bearer sk-keyward-demo"));
    Ok(())
}

#[test]
fn each_upstream_is_named_and_labelled_as_in_the_guide() -> anyhow::Result<()> {
    for kind in KINDS {
        let upstream = value(&format!("{kind}/upstream.yaml"))?;
        assert_eq!(upstream["apiVersion"], json!("gloo.solo.io/v1"), "{kind}");
        assert_eq!(upstream["kind"], json!("Upstream"), "{kind}");
        let metadata = json!({ "labels": { "app": "gloo" }, "name": "openai", "namespace": "gloo-system" });
        assert_eq!(upstream["metadata"], metadata, "{kind}");
    }
    Ok(())
}

#[test]
fn each_route_is_the_guides() -> anyhow::Result<()> {
    let guide = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "openai", "namespace": "gloo-system" },
        "spec": {
            "parentRefs": [{ "name": "ai-gateway", "namespace": "gloo-system" }],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": "/openai" } }],
                "filters": [{
                    "type": "URLRewrite",
                    "urlRewrite": { "path": { "type": "ReplaceFullPath", "replaceFullPath": "/v1/chat/completions" } }
                }],
                "backendRefs": [
                    { "name": "openai", "namespace": "gloo-system", "group": "gloo.solo.io", "kind": "Upstream" }
                ]
            }]
        }
    });
    for kind in KINDS {
        assert_eq!(value(&format!("{kind}/httproute.yaml"))?, guide, "{kind}");
    }
    Ok(())
}

#[test]
fn each_gateway_listens_where_the_guides_curl_knocks() -> anyhow::Result<()> {
    for kind in KINDS {
        let gateway = value(&format!("{kind}/gateway.yaml"))?;
        assert_eq!(gateway["metadata"], json!({ "name": "ai-gateway", "namespace": "gloo-system" }), "{kind}");
        assert_eq!(gateway["spec"]["gatewayClassName"], json!("keyward"), "{kind}");
        assert_eq!(gateway["spec"]["listeners"], json!([{ "name": "http", "protocol": "HTTP", "port": 8080 }]), "{kind}");
    }
    Ok(())
}

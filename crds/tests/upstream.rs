//! What an Upstream means once read: which provider, which source of the token, and what is never shown.

use anyhow::Context;
use crds::{Ai, AuthToken, CredentialSource, JsonSchemaName, Provider, Publisher, Token, TokenSource, TokenSourceError, Upstream};
use serde_json::{Value, json};

const CANARY: &str = "sk-canary-0123456789";

fn upstream(ai: &str) -> anyhow::Result<Upstream> {
    let indented: String = ai.trim().lines().map(|line| format!("    {line}\n")).collect();
    let yaml = format!("apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata:\n  name: openai\nspec:\n  ai:\n{indented}");
    serde_saphyr::from_str(&yaml).with_context(|| yaml.clone())
}

fn ai(text: &str) -> anyhow::Result<Ai> {
    upstream(text)?.spec.ai.context("no spec.ai")
}

fn auth_token(source: Value) -> anyhow::Result<AuthToken> {
    Ok(serde_json::from_value(source)?)
}

#[test]
fn reads_the_guides_inline_token() -> anyhow::Result<()> {
    let ai = ai("openai:\n  authToken:\n    inline: \"$TOKEN\"")?;
    let Provider::OpenAi(openai) = ai.provider()? else { anyhow::bail!("not openai") };
    let source = openai.auth_token.as_ref().context("no authToken")?.source()?;
    assert_eq!(source, TokenSource::Inline(&Token::new("$TOKEN")));
    Ok(())
}

#[test]
fn reads_the_guides_passthrough() -> anyhow::Result<()> {
    let ai = ai("openai:\n  authToken:\n    passthrough: {}")?;
    let token = ai.openai.and_then(|openai| openai.auth_token).context("no authToken")?;
    assert_eq!(token.source()?, TokenSource::Passthrough);
    Ok(())
}

#[test]
fn reads_a_secret_ref_with_a_stray_kind() -> anyhow::Result<()> {
    let ai = ai("openai:\n  authToken:\n    secretRef:\n      kind: Secret\n      name: openai-secret\n      namespace: gloo-system")?;
    let token = ai.openai.and_then(|openai| openai.auth_token).context("no authToken")?;
    let TokenSource::SecretRef(secret) = token.source()? else { anyhow::bail!("not a secretRef") };
    assert_eq!(secret.name.as_deref(), Some("openai-secret"));
    assert_eq!(secret.namespace.as_deref(), Some("gloo-system"));
    Ok(())
}

#[test]
fn refuses_two_sources_and_names_them() -> anyhow::Result<()> {
    let token = auth_token(json!({ "inline": CANARY, "secretRef": { "name": "s" } }))?;
    let error = token.source().err().context("accepted")?;
    assert!(matches!(&error, TokenSourceError::Several { named, .. } if *named == ["inline", "secretRef"]));
    assert_eq!(
        error.to_string(),
        "authToken: inline and secretRef are set together; keep exactly one of secretRef, passthrough, inline and remove the others"
    );
    Ok(())
}

#[test]
fn refuses_no_source() -> anyhow::Result<()> {
    let error = AuthToken::default().source().err().context("accepted")?;
    assert_eq!(error.to_string(), "authToken: no credential source is set; set exactly one of secretRef, passthrough, inline");
    Ok(())
}

#[test]
fn tells_an_empty_inline_token_from_an_absent_one() -> anyhow::Result<()> {
    let empty = auth_token(json!({ "inline": "" }))?;
    assert!(matches!(empty.source()?, TokenSource::Inline(token) if token.is_empty()));
    let absent = auth_token(json!({ "inline": null }))?;
    assert!(matches!(absent.source(), Err(TokenSourceError::Missing { .. })));
    Ok(())
}

#[test]
fn refuses_no_provider_and_two_providers() -> anyhow::Result<()> {
    let none = Ai::default().provider().err().context("accepted")?;
    assert!(none.to_string().starts_with("spec.ai: no provider is set; set exactly one of openai, "), "{none}");
    let two = ai("openai: {}\ngemini: {}")?.provider().err().context("accepted")?;
    assert_eq!(two.to_string(), "spec.ai: openai and gemini are set together; keep one and give each other an Upstream of its own");
    Ok(())
}

#[test]
fn names_every_provider_by_its_field() -> anyhow::Result<()> {
    for field in ["openai", "mistral", "anthropic", "azureOpenai", "gemini", "vertexAi", "bedrock", "multi"] {
        assert_eq!(ai(&format!("{field}: {{}}"))?.provider()?.field(), field);
    }
    Ok(())
}

#[test]
fn judges_each_pool_entry_on_its_own() -> anyhow::Result<()> {
    let ai = ai("multi:\n  priorities:\n  - pool:\n    - openai: {model: gpt-4o}\n    - {openai: {}, gemini: {}}\n    - {}")?;
    let Provider::Multi(multi) = ai.provider()? else { anyhow::bail!("not multi") };
    let entries: Vec<_> = multi.priorities.iter().flatten().flat_map(|priority| priority.pool.iter().flatten()).collect();
    let verdicts: Vec<_> = entries.iter().map(|entry| entry.provider().map(|p| p.field()).map_err(|error| error.to_string())).collect();
    assert_eq!(verdicts[0], Ok("openai"));
    assert_eq!(verdicts[1], Err("pool[]: openai and gemini are set together; keep one and give each other its own entry".to_owned()));
    assert!(matches!(&verdicts[2], Err(text) if text.starts_with("pool[]: no provider is set") && !text.contains("multi")));
    Ok(())
}

#[test]
fn reads_aws_keys_as_tokens() -> anyhow::Result<()> {
    let ai = ai(&format!(
        "bedrock:\n  region: us-east-1\n  credentialProvider:\n    inline: {{accessKeyId: {CANARY}-a, secretAccessKey: {CANARY}-b, sessionToken: {CANARY}-c}}"
    ))?;
    let provider = ai.bedrock.and_then(|bedrock| bedrock.credential_provider).context("no credentialProvider")?;
    let CredentialSource::Inline(keys) = provider.source()? else { anyhow::bail!("not inline") };
    assert_eq!(keys.secret_access_key.as_ref().map(Token::expose), Some("sk-canary-0123456789-b"));
    assert!(!format!("{provider:?}").contains(CANARY));
    Ok(())
}

#[test]
fn takes_enums_by_name_and_by_number_and_keeps_unknown_ones() -> anyhow::Result<()> {
    for (written, publisher) in [
        ("GOOGLE", Publisher::Google),
        ("0", Publisher::Google),
        ("META", Publisher::Other("META".to_owned())),
        ("7", Publisher::Other("7".to_owned())),
        ("-1", Publisher::Other("-1".to_owned())),
    ] {
        let vertex = ai(&format!("vertexAi: {{publisher: {written}}}"))?.vertex_ai.context("no vertexAi")?;
        assert_eq!(vertex.publisher, Some(publisher), "{written}");
    }
    for (written, schema) in [
        ("NOT_SET", JsonSchemaName::NotSet),
        ("1", JsonSchemaName::Anthropic),
        ("GEMINI", JsonSchemaName::Gemini),
        ("3", JsonSchemaName::OpenAi),
        ("4", JsonSchemaName::Other("4".to_owned())),
    ] {
        let vertex = ai(&format!("vertexAi: {{jsonSchema: {written}}}"))?.vertex_ai.context("no vertexAi")?;
        assert_eq!(vertex.json_schema, Some(schema), "{written}");
    }
    Ok(())
}

#[test]
fn never_prints_a_token() -> anyhow::Result<()> {
    let mut upstream = upstream(&format!(
        "openai:\n  authToken:\n    inline: {CANARY}\n  customHost:\n    pathOverride:\n      fullPath: /v1/chat?key={CANARY}"
    ))?;
    upstream.spec.other.insert("httpConnectHeaders".to_owned(), json!([{ "key": "Authorization", "value": CANARY }]));
    let printed = format!("{upstream:?} {upstream:#?}");
    assert!(!printed.contains(CANARY), "{printed}");
    assert!(printed.contains("/v1/chat"), "{printed}");
    // printf %s sk-canary-0123456789 | sha256sum
    assert_eq!(Token::new(CANARY).to_string(), "sha256:782a873f");
    assert!(printed.contains("sha256:782a873f"), "{printed}");
    Ok(())
}

#[test]
fn never_repeats_a_token_that_is_not_a_string() {
    for written in [json!(4242424242_u64), json!(-4242424242_i64), json!(4242424242.5), json!(["4242424242"]), json!({ "4242424242": 1 })] {
        let error = serde_json::from_value::<AuthToken>(json!({ "inline": written })).map_err(|error| error.to_string());
        assert!(matches!(&error, Err(text) if !text.contains("4242424242")), "{error:?}");
    }
}

#[test]
fn keeps_what_it_does_not_understand() -> anyhow::Result<()> {
    let written = json!({
        "apiVersion": "gloo.solo.io/v1",
        "kind": "Upstream",
        "metadata": { "name": "other", "namespace": "gloo-system" },
        "spec": {
            "static": { "hosts": [{ "addr": "example.com", "port": 443 }], "useTls": true },
            "circuitBreakers": { "maxConnections": 7 }
        },
        "status": { "statuses": { "gloo-system": { "reportedBy": "gloo", "state": 1 } } }
    });
    let upstream: Upstream = serde_json::from_value(written.clone())?;
    assert_eq!(upstream.spec.ai, None);
    assert_eq!(upstream.spec.other_type(), Some("static"));
    assert_eq!(serde_json::to_value(upstream)?, written);
    Ok(())
}

#[test]
fn writes_a_token_back_as_it_came() -> anyhow::Result<()> {
    let written = json!({ "ai": { "openai": { "authToken": { "inline": CANARY } } } });
    let spec: crds::UpstreamSpec = serde_json::from_value(written.clone())?;
    assert_eq!(serde_json::to_value(spec)?, written);
    Ok(())
}

#[test]
fn a_status_that_cannot_be_read_does_not_take_the_spec_out_of_service() -> anyhow::Result<()> {
    let upstream: Upstream = serde_json::from_value(json!({
        "metadata": { "name": "openai" },
        "spec": { "ai": { "openai": {} } },
        "status": { "conditions": [{ "type": 5 }], "statuses": "none" }
    }))?;
    assert!(upstream.spec.ai.is_some());
    assert_eq!(upstream.status, Some(crds::UpstreamStatus::default()));
    Ok(())
}

//! The Gloo AI Gateway auth guide, step by step, with its own curl command.

use anyhow::Context;
use keyward_e2e::{Curled, GUIDE_BODY, Gateway, Provider, Setup, curl};
use serde_json::Value;

const TOKEN: &str = "sk-guide-token";

/// The guide's command: `curl "$INGRESS_GW_ADDRESS:8080/openai" -H content-type:application/json -d '{...}'`.
fn guides_curl(gateway: &Gateway, more: &[&str]) -> anyhow::Result<Curled> {
    let address = format!("{}/openai", gateway.addr());
    let mut arguments = vec![address.as_str(), "-H", "content-type:application/json", "-d", GUIDE_BODY];
    arguments.extend_from_slice(more);
    curl(&arguments)
}

/// What the guide shows as its example output, and what the provider must have got for it.
fn assert_the_guides_outcome(answer: &Curled, provider: &Provider) -> anyhow::Result<()> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let completion = answer.json()?;
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["model"], "gpt-3.5-turbo");
    let message = completion.pointer("/choices/0/message").context("no message")?;
    assert_eq!(message["role"], "assistant");
    assert!(message["content"].as_str().is_some_and(|poem| poem.contains("recursion")));
    assert_eq!(completion.pointer("/usage/total_tokens").and_then(Value::as_u64), Some(239));

    let request = provider.only_request()?;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(request.authority, "api.openai.com");
    assert_eq!(request.header_values("authorization"), [format!("Bearer {TOKEN}")]);
    assert_eq!(request.body_len, u64::try_from(GUIDE_BODY.len())?);
    Ok(())
}

#[test]
fn serves_the_guide_with_an_inline_token() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = Setup::new().sample("inline", TOKEN)?.provider(&provider).start()?;
    let answer = guides_curl(&gateway, &[])?;
    assert_the_guides_outcome(&answer, &provider)
}

#[test]
fn serves_the_guide_with_a_secret() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = Setup::new().sample("secret", TOKEN)?.provider(&provider).start()?;
    let answer = guides_curl(&gateway, &[])?;
    assert_the_guides_outcome(&answer, &provider)
}

#[test]
fn serves_the_guide_with_a_passthrough_token() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = Setup::new().sample("passthrough", TOKEN)?.provider(&provider).start()?;
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let answer = guides_curl(&gateway, &["-H", &bearer])?;
    assert_the_guides_outcome(&answer, &provider)
}

#[test]
fn serves_the_guide_to_a_client_that_speaks_http2_at_once() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = Setup::new().sample("inline", TOKEN)?.provider(&provider).start()?;
    let answer = guides_curl(&gateway, &["--http2-prior-knowledge"])?;
    assert_the_guides_outcome(&answer, &provider)
}

#[test]
fn refuses_a_token_that_no_shell_expanded() -> anyhow::Result<()> {
    let provider = Provider::with_key("$TOKEN")?;
    let gateway = Setup::new().sample("inline", "$TOKEN")?.provider(&provider).start()?;
    let answer = guides_curl(&gateway, &[])?;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.json()?.pointer("/error/message").is_some_and(Value::is_string), "{}", answer.body);
    assert_eq!(provider.connections(), 0, "the provider was called");
    let log = gateway.log()?;
    assert!(log.contains("upstream.yaml"), "the problem is not reported with its file:\n{log}");
    Ok(())
}

#[test]
fn hands_the_providers_refusal_of_a_key_to_the_client() -> anyhow::Result<()> {
    let provider = Provider::with_key("sk-another")?;
    let gateway = Setup::new().sample("inline", TOKEN)?.provider(&provider).start()?;
    let answer = guides_curl(&gateway, &[])?;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert_eq!(answer.json()?.pointer("/error/code").and_then(Value::as_str), Some("invalid_api_key"));
    Ok(())
}

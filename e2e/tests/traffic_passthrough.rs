//! Passthrough: the client's own token goes to the provider, re-homed; without exactly one, nothing goes anywhere.

use keyward_e2e::{Gateway, Provider, Request, Setup, gateway, route, upstream};

const TOKEN: &str = "sk-passed-through";

fn start(provider: &Provider) -> anyhow::Result<Gateway> {
    let manifests = gateway(&[8080])
        + &upstream("openai", "{openai: {authToken: {passthrough: {}}}}")
        + &route("openai", "/v1/chat/completions")
        + &upstream("anthropic", "{anthropic: {authToken: {passthrough: {}}}}")
        + &route("anthropic", "/v1/messages");
    Setup::new().manifest("all.yaml", &manifests).provider(provider).start()
}

#[test]
fn refuses_passthrough_without_token() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = start(&provider)?;
    for request in [
        Request::chat("/openai"),
        Request::chat("/openai").header("authorization", ""),
        Request::chat("/openai").header("authorization", "Bearer"),
        Request::chat("/openai").header("authorization", "Bearer "),
        Request::chat("/openai").header("authorization", "Basic dXNlcjpwYXNz"),
        Request::chat(&format!("/openai?key={TOKEN}")),
    ] {
        let sent = String::from_utf8_lossy(&request.to_bytes()).into_owned();
        let answer = gateway.send(&request)?;
        assert_eq!(answer.status, 401, "{sent}\n{}", answer.text());
        let challenge = answer.head.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{sent}\nchallenge {challenge:?}");
        answer.openai_error()?;
    }
    assert_eq!(provider.connections(), 0, "the provider was called");
    Ok(())
}

#[test]
fn refuses_passthrough_with_several_tokens() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = start(&provider)?;
    let bearer = format!("Bearer {TOKEN}");
    let request = Request::chat("/openai").header("Authorization", &bearer).header("authorization", "Bearer sk-second");
    let answer = gateway.send(&request)?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    answer.openai_error()?;
    assert_eq!(provider.connections(), 0, "the provider was called");
    Ok(())
}

#[test]
fn rehomes_a_bearer_token_to_the_header_of_anthropic() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = start(&provider)?;
    let request = Request::chat("/anthropic").header("Authorization", &format!("Bearer {TOKEN}"));
    let answer = gateway.send(&request)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = provider.only_request()?;
    assert_eq!(received.header_values("x-api-key"), [TOKEN]);
    assert!(received.header_values("authorization").is_empty(), "{received:#?}");
    Ok(())
}

#[test]
fn takes_the_header_of_anthropic_as_it_is() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = start(&provider)?;
    let answer = gateway.send(&Request::chat("/anthropic").header("X-Api-Key", TOKEN))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(provider.only_request()?.header_values("x-api-key"), [TOKEN]);
    Ok(())
}

#[test]
fn passes_on_no_other_credential_beside_the_token() -> anyhow::Result<()> {
    let provider = Provider::with_key(TOKEN)?;
    let gateway = start(&provider)?;
    let request = Request::chat("/openai?key=sk-else")
        .header("Authorization", &format!("Bearer {TOKEN}"))
        .header("X-Api-Key", "sk-else")
        .header("api-key", "sk-else")
        .header("X-GOOG-API-KEY", "sk-else");
    let answer = gateway.send(&request)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = provider.only_request()?;
    assert!(!format!("{received:?}").contains("sk-else"), "{received:#?}");
    Ok(())
}

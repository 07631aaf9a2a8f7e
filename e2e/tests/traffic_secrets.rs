//! Secrets in every state in which they are found. What cannot be used is refused; the provider is never called without its credential.

use keyward_e2e::{Gateway, Provider, Request, Setup, gateway, route, secret, secret_with_data, upstream};

const KEY: &str = "sk-from-a-secret";

/// An Upstream, its route, and the Secret it names, if there is one.
fn with_secret(name: &str, secret: &str) -> String {
    let ai = format!("{{openai: {{authToken: {{secretRef: {{name: {name}-secret}}}}}}}}");
    upstream(name, &ai) + &route(name, "/v1/chat/completions") + secret
}

/// A gateway with one route `/case` besides one that works.
fn start(provider: &Provider, secret_manifest: &str) -> anyhow::Result<Gateway> {
    let good = with_secret("good", &secret("good-secret", KEY));
    let manifests = gateway(&[8080]) + &good + &with_secret("case", secret_manifest);
    Setup::new().manifest("all.yaml", &manifests).provider(provider).start()
}

fn assert_serves(secret_manifest: &str) -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider, secret_manifest)?;
    let answer = gateway.send(&Request::chat("/case"))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(provider.only_request()?.header_values("authorization"), [format!("Bearer {KEY}")]);
    Ok(())
}

fn assert_refuses(secret_manifest: &str) -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider, secret_manifest)?;
    let answer = gateway.send(&Request::chat("/case"))?;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let message = answer.openai_error()?;
    assert!(!message.contains("sk-"), "the message shows a part of the token: {message}");
    assert_eq!(provider.connections(), 0, "the provider was called");
    // The rest goes on.
    assert_eq!(gateway.send(&Request::chat("/good"))?.status, 200);
    assert_eq!(provider.only_request()?.header_values("authorization"), [format!("Bearer {KEY}")]);
    Ok(())
}

#[test]
fn refuses_when_the_secret_is_missing() -> anyhow::Result<()> {
    assert_refuses("")
}

#[test]
fn refuses_a_secret_with_several_keys_none_of_which_is_authorization() -> anyhow::Result<()> {
    assert_refuses(&secret_with_data("case-secret", &format!("stringData: {{one: {KEY}, two: {KEY}}}")))
}

#[test]
fn refuses_a_secret_without_data() -> anyhow::Result<()> {
    assert_refuses(&secret_with_data("case-secret", "data: {}"))
}

#[test]
fn refuses_an_empty_secret() -> anyhow::Result<()> {
    assert_refuses(&secret("case-secret", " \\n"))
}

#[test]
fn refuses_a_secret_that_is_nothing_but_the_word_bearer() -> anyhow::Result<()> {
    assert_refuses(&secret("case-secret", "Bearer "))
}

#[test]
fn refuses_a_secret_that_is_not_utf8() -> anyhow::Result<()> {
    // The bytes ff fe fd.
    assert_refuses(&secret_with_data("case-secret", "data: {Authorization: //79}"))
}

#[test]
fn refuses_a_secret_that_is_not_base64() -> anyhow::Result<()> {
    assert_refuses(&secret_with_data("case-secret", "data: {Authorization: \"%%%\"}"))
}

#[test]
fn refuses_a_secret_with_line_breaks_inside() -> anyhow::Result<()> {
    assert_refuses(&secret("case-secret", "sk-from\\r\\nx-injected: yes"))
}

#[test]
fn refuses_a_secret_with_a_variable_that_no_shell_expanded() -> anyhow::Result<()> {
    assert_refuses(&secret("case-secret", "Bearer $OPENAI_API_KEY"))
}

#[test]
fn serves_with_the_only_key_of_a_secret_whatever_its_name() -> anyhow::Result<()> {
    assert_serves(&secret_with_data("case-secret", &format!("stringData: {{token: {KEY}}}")))
}

#[test]
fn serves_with_authorization_among_several_keys() -> anyhow::Result<()> {
    assert_serves(&secret_with_data("case-secret", &format!("stringData: {{Authorization: {KEY}, other: sk-other}}")))
}

#[test]
fn serves_with_a_value_that_says_bearer_and_ends_in_a_line_break() -> anyhow::Result<()> {
    assert_serves(&secret("case-secret", &format!("Bearer {KEY}\\n")))
}

#[test]
fn serves_with_a_base64_value() -> anyhow::Result<()> {
    // "Bearer sk-from-a-secret\n", as `kubectl get -o yaml` shows it.
    assert_serves(&secret_with_data("case-secret", "data: {Authorization: QmVhcmVyIHNrLWZyb20tYS1zZWNyZXQK}"))
}

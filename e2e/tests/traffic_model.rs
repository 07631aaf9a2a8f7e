//! An Upstream that fixes the model: whatever a client asks for, that model answers.

use keyward_e2e::{Provider, Request, Setup, gateway, route, upstream};
use serde_json::Value;

const KEY: &str = "sk-model-tests";

fn pinned() -> String {
    let upstream = upstream("openai", &format!("{{openai: {{model: gpt-pinned, authToken: {{inline: {KEY}}}}}}}"));
    gateway(&[8080]) + &upstream + &route("openai", "/v1/chat/completions")
}

#[test]
fn writes_the_fixed_model_into_the_request() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &pinned()).provider(&provider).start()?;
    let answer = gateway.send(&Request::chat("/openai"))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(answer.get("model").and_then(Value::as_str), Some("gpt-pinned"));
    Ok(())
}

#[test]
fn refuses_a_body_that_might_name_another_model() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &pinned()).provider(&provider).start()?;
    for body in ["[{\"model\": \"gpt-other\"}]", "\u{feff}{\"model\": \"gpt-other\"}"] {
        let answer = gateway.send(&Request::post("/openai", body))?;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200);
    Ok(())
}

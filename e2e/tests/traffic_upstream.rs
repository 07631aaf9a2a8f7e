//! A provider that is slow, broken, or not the provider at all. The client gets a clear answer, and the gateway goes on.

use std::time::{Duration, Instant};

use keyward_e2e::{Gateway, Provider, Request, Response, Setup, gateway, route_with, upstream};
use mock_llm::Options;

const KEY: &str = "sk-upstream-tests";

fn manifests(timeouts: &str) -> String {
    let rule = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /v1}}}}], {timeouts} \
         backendRefs: [{{name: openai, group: gloo.solo.io, kind: Upstream}}]}}"
    );
    let upstream = upstream("openai", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}"));
    gateway(&[8080]) + &upstream + &route_with("openai", &rule)
}

fn start(provider: &Provider) -> anyhow::Result<Gateway> {
    Setup::new().manifest("all.yaml", &manifests("")).provider(provider).start()
}

fn chat(mode: &str) -> Request {
    Request::chat("/v1/chat/completions").header("x-mock-mode", mode)
}

fn assert_goes_on(gateway: &Gateway) -> anyhow::Result<()> {
    let answer = gateway.send(&Request::chat("/v1/chat/completions"))?;
    assert_eq!(answer.status, 200, "after a broken answer: {}", answer.text());
    Ok(())
}

fn assert_bad_gateway(answer: &Response) -> anyhow::Result<()> {
    assert_eq!(answer.status, 502, "{}", answer.text());
    answer.openai_error()?;
    Ok(())
}

#[test]
fn answers_502_to_garbage_and_asks_only_once() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    assert_bad_gateway(&gateway.send(&chat("garbage"))?)?;
    // A completion costs money: a request that the provider may have taken is not sent again.
    provider.only_request()?;
    assert_goes_on(&gateway)
}

#[test]
fn answers_502_when_the_provider_closes_without_an_answer_and_asks_only_once() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    assert_bad_gateway(&gateway.send(&chat("nothing"))?)?;
    provider.only_request()?;
    assert_goes_on(&gateway)
}

#[test]
fn breaks_the_answer_off_where_the_provider_broke_it_off() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let answer = gateway.send(&chat("cut"))?;
    assert!(!answer.complete || answer.status == 502, "a cut answer looks whole: {}", answer.text());
    provider.only_request()?;
    assert_goes_on(&gateway)
}

#[test]
fn breaks_a_stream_off_in_the_middle_of_a_frame_where_the_provider_did() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let answer = gateway.send(&Request::chat_stream("/v1/chat/completions").header("x-mock-mode", "cut-stream"))?;
    assert_eq!(answer.status, 200);
    assert!(!answer.complete, "a cut stream looks whole: {}", answer.text());
    assert!(answer.text().contains("chat.completion.chunk"), "what came before the cut is lost");
    assert!(!answer.text().contains("[DONE]"));
    assert_goes_on(&gateway)
}

#[test]
fn hands_on_the_status_and_body_of_a_failing_provider() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    for status in [400, 404, 429, 500, 503] {
        let answer = gateway.send(&chat(&format!("fail={status}")))?;
        assert_eq!(answer.status, status);
        assert!(answer.openai_error()?.starts_with("The server had an error"));
    }
    assert_goes_on(&gateway)
}

#[test]
fn waits_for_a_slow_provider() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = start(&provider)?;
    let answer = gateway.send(&chat("slow=1500"))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[test]
fn answers_504_when_the_routes_timeout_is_over() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let manifests = manifests("timeouts: {request: 500ms},");
    let gateway = Setup::new().manifest("all.yaml", &manifests).provider(&provider).start()?;
    let start = Instant::now();
    let answer = gateway.send(&chat("hang"))?;
    assert_eq!(answer.status, 504, "{}", answer.text());
    answer.openai_error()?;
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    assert_goes_on(&gateway)
}

#[test]
fn refuses_a_provider_whose_certificate_is_for_another_name() -> anyhow::Result<()> {
    let provider =
        Provider::start(Options { keys: vec![KEY.to_owned()], names: vec!["api.openai.com.example".to_owned()], ..Options::default() })?;
    let gateway = start(&provider)?;
    assert_bad_gateway(&gateway.send(&Request::chat("/v1/chat/completions"))?)?;
    assert!(provider.journal().is_empty(), "a request went to a provider that is not the provider");
    assert!(provider.connections() > 0, "the gateway did not even try");
    Ok(())
}

#[test]
fn refuses_a_provider_whose_authority_it_does_not_trust() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &manifests("")).provider_untrusted(&provider).start()?;
    assert_bad_gateway(&gateway.send(&Request::chat("/v1/chat/completions"))?)?;
    assert!(provider.journal().is_empty(), "a request went to a provider that is not the provider");
    assert!(provider.connections() > 0, "the gateway did not even try");
    Ok(())
}

#[test]
fn never_speaks_plaintext_to_a_provider() -> anyhow::Result<()> {
    let provider = Provider::start(Options { keys: vec![KEY.to_owned()], plain: true, ..Options::default() })?;
    let gateway = start(&provider)?;
    assert_bad_gateway(&gateway.send(&Request::chat("/v1/chat/completions"))?)?;
    assert!(provider.journal().is_empty(), "a request went out in plaintext");
    Ok(())
}

#[test]
fn answers_502_when_nobody_listens() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let setup = Setup::new().manifest("all.yaml", &manifests("")).provider(&provider);
    provider.stop();
    let gateway = setup.start()?;
    assert_bad_gateway(&gateway.send(&Request::chat("/v1/chat/completions"))?)
}

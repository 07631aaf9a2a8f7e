//! Exactly one credential reaches the provider, in the place where that provider wants it, whatever the client sent.

use keyward_e2e::{Provider, Request, Setup, curl, gateway, route, upstream};
use mock_llm::Entry;

const KEY: &str = "sk-the-gateways-own";
const CLIENTS: &str = "sk-the-clients-own";

/// Every place in which some provider takes a credential.
const PLACES: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

fn openai() -> String {
    let upstream = upstream("openai", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}"));
    gateway(&[8080]) + &upstream + &route("openai", "/v1/chat/completions")
}

/// The credentials in a request, as header lines; the client's own token must be nowhere in it.
fn credentials(request: &Entry) -> Vec<String> {
    let everything = format!("{request:?}");
    assert!(!everything.contains(CLIENTS), "the client's own token reached the provider: {everything}");
    let in_headers = |(name, _): &&(String, String)| PLACES.contains(&name.as_str());
    request.headers.iter().filter(in_headers).map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn removes_every_credential_of_the_client_in_any_spelling() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &openai()).provider(&provider).start()?;
    let bearer = format!("Bearer {CLIENTS}");
    let bearer = bearer.as_str();
    let with =
        |headers: &[(&str, &str)]| headers.iter().fold(Request::chat("/openai"), |request, (name, value)| request.header(name, value));
    let cases = [
        with(&[]),
        with(&[("Authorization", bearer)]),
        with(&[("aUTHORIZATION", bearer), ("authorization", bearer)]),
        with(&[("Authorization", CLIENTS)]),
        with(&[("authorization", "")]),
        with(&[("Authorization", "Basic c2stdGhlLWNsaWVudHMtb3du")]),
        with(&[("x-api-key", CLIENTS)]),
        with(&[("X-Api-Key", CLIENTS), ("x-API-key", CLIENTS)]),
        with(&[("api-key", CLIENTS), ("API-KEY", CLIENTS)]),
        with(&[("X-Goog-Api-Key", CLIENTS)]),
        with(&[("authorization", bearer), ("x-api-key", CLIENTS), ("Api-Key", CLIENTS), ("x-goog-api-key", CLIENTS)]),
        Request::chat(&format!("/openai?key={CLIENTS}")),
        Request::chat(&format!("/openai?a=1&KEY={CLIENTS}&b=2&key={CLIENTS}")),
        Request::chat(&format!("/openai?%6Bey={CLIENTS}")),
        Request::chat(&format!("/openai?key={CLIENTS}")).header("Authorization", bearer),
    ];
    for case in cases {
        let sent = String::from_utf8_lossy(&case.to_bytes()).into_owned();
        provider.clear_journal();
        let answer = gateway.send(&case)?;
        assert_eq!(answer.status, 200, "{sent}\n{}", answer.text());
        assert_eq!(credentials(&provider.only_request()?), [format!("authorization: Bearer {KEY}")], "{sent}");
    }
    Ok(())
}

#[test]
fn removes_credentials_that_came_over_http2() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &openai()).provider(&provider).start()?;
    let (bearer, key) = (format!("authorization: Bearer {CLIENTS}"), format!("x-api-key: {CLIENTS}"));
    let url = gateway.url("/openai");
    let body = r#"{"model":"m","messages":[]}"#;
    let answer = curl(&["--http2-prior-knowledge", &url, "-H", &bearer, "-H", &bearer, "-H", &key, "-d", body])?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(credentials(&provider.only_request()?), [format!("authorization: Bearer {KEY}")]);
    Ok(())
}

#[test]
fn keeps_the_rest_of_the_query() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new().manifest("all.yaml", &openai()).provider(&provider).start()?;
    let answer = gateway.send(&Request::chat(&format!("/openai?a=1&key={CLIENTS}&keyword=b%20c")))?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(provider.only_request()?.target, "/v1/chat/completions?a=1&keyword=b%20c");
    Ok(())
}

/// One provider: its `spec.ai`, a request body it understands, and what must arrive.
struct Place {
    name: &'static str,
    ai: &'static str,
    body: &'static str,
    authority: &'static str,
    target: &'static str,
    credential: &'static str,
}

const CHAT: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
const CONTENTS: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;

const PROVIDERS: [Place; 6] = [
    Place {
        name: "openai",
        ai: "{openai: {authToken: {inline: sk-the-gateways-own}}}",
        body: CHAT,
        authority: "api.openai.com",
        target: "/v1/chat/completions",
        credential: "authorization: Bearer sk-the-gateways-own",
    },
    Place {
        name: "mistral",
        ai: "{mistral: {authToken: {inline: sk-the-gateways-own}}}",
        body: CHAT,
        authority: "api.mistral.ai",
        target: "/v1/chat/completions",
        credential: "authorization: Bearer sk-the-gateways-own",
    },
    Place {
        name: "anthropic",
        ai: "{anthropic: {authToken: {inline: sk-the-gateways-own}}}",
        body: CHAT,
        authority: "api.anthropic.com",
        target: "/v1/messages",
        credential: "x-api-key: sk-the-gateways-own",
    },
    Place {
        name: "azure",
        ai: "{azureOpenai: {authToken: {inline: sk-the-gateways-own}, endpoint: mock.openai.azure.com, deploymentName: d, apiVersion: '2024-10-21'}}",
        body: CHAT,
        authority: "mock.openai.azure.com",
        target: "/openai/deployments/d/chat/completions?api-version=2024-10-21",
        credential: "api-key: sk-the-gateways-own",
    },
    Place {
        name: "gemini",
        ai: "{gemini: {authToken: {inline: sk-the-gateways-own}, model: gemini-2.5-flash, apiVersion: v1beta}}",
        body: CONTENTS,
        authority: "generativelanguage.googleapis.com",
        target: "/v1beta/models/gemini-2.5-flash:generateContent",
        credential: "x-goog-api-key: sk-the-gateways-own",
    },
    Place {
        name: "vertex",
        ai: "{vertexAi: {authToken: {inline: sk-the-gateways-own}, model: gemini-2.5-flash, apiVersion: v1, projectId: p, location: us-central1, publisher: GOOGLE}}",
        body: CONTENTS,
        authority: "us-central1-aiplatform.googleapis.com",
        target: "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent",
        credential: "authorization: Bearer sk-the-gateways-own",
    },
];

#[test]
fn puts_the_credential_where_each_provider_wants_it() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let mut manifests = gateway(&[8080]);
    for place in &PROVIDERS {
        // A path without query, as the guide's rewrite; the provider's own settings decide where they have a say.
        let path = place.target.split('?').next().unwrap_or_default();
        manifests += &(upstream(place.name, place.ai) + &route(place.name, &format!("\"{path}\"")));
    }
    let gateway = Setup::new().manifest("all.yaml", &manifests).provider(&provider).start()?;
    for place in &PROVIDERS {
        provider.clear_journal();
        let request = Request::post(&format!("/{}", place.name), place.body);
        let request = PLACES.iter().fold(request, |request, header| request.header(header, CLIENTS));
        let answer = gateway.send(&request)?;
        assert_eq!(answer.status, 200, "{}: {}\n{:#?}", place.name, answer.text(), provider.journal());
        let received = provider.only_request()?;
        assert_eq!(credentials(&received), [place.credential], "{}", place.name);
        assert_eq!((received.authority.as_str(), received.target.as_str()), (place.authority, place.target));
    }
    Ok(())
}

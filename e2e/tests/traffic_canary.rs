//! A canary token goes through everything that can happen to a credential, and is then looked for in everything the gateway says.

use anyhow::{Context, bail, ensure};
use keyward_e2e::{Connection, Gateway, Provider, Request, Setup, gateway, route, route_with, secret, secret_with_data, upstream};
use mock_llm::Options;

/// In the gateway's Secrets and manifests.
const CANARY: &str = "sk-kwcanary7f3a9c1e5b2d";
/// `Bearer sk-kwcanary7f3a9c1e5b2d` as a Secret's `data` holds it.
const CANARY_BASE64: &str = "QmVhcmVyIHNrLWt3Y2FuYXJ5N2YzYTljMWU1YjJk";
/// In the requests of clients.
const CLIENTS: &str = "sk-kwclient0b8d6e2f4a1c";

/// Parts of the canaries that must be nowhere, for half a token is too much: in clear, and in base64 with and without `Bearer ` before it.
const TRACES: [&str; 4] = ["kwcanary", "kwclient", "LWt3Y2FuYXJ5", "a3djYW5hcnk3"];
/// How a panic is told of: before a program's logs are started, and after.
const PANICS: [&str; 2] = ["panicked at", "this should not happen"];

/// Everything the gateway was heard to say, by where it said it.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    /// Sends a request and listens to the answer, even to a broken one.
    fn send(&mut self, gateway: &Gateway, request: &Request) -> Option<u16> {
        let shown = String::from_utf8_lossy(&request.to_bytes()).lines().next().unwrap_or_default().to_owned();
        match gateway.send(request) {
            Ok(answer) => {
                self.0.push((format!("answer to {shown}"), format!("{:?}\n{}", answer.head, answer.text())));
                Some(answer.status)
            }
            Err(error) => {
                self.0.push((format!("answer to {shown}"), format!("{error:#}")));
                None
            }
        }
    }

    fn assert_no_canary(&self) -> anyhow::Result<()> {
        for (place, text) in &self.0 {
            ensure!(!PANICS.iter().any(|said| text.contains(said)), "a panic in {place}");
            for trace in TRACES {
                if let Some(found) = text.find(trace) {
                    let around = text.as_bytes().get(found.saturating_sub(300)..text.len().min(found + 100)).unwrap_or_default();
                    bail!("{trace} is in {place}: ...{}...", String::from_utf8_lossy(around));
                }
            }
        }
        Ok(())
    }
}

/// Every kind of credential, good and bad, with the canary in it.
fn manifests() -> String {
    let path = "/v1/chat/completions";
    let by_secret =
        |name: &str| upstream(name, &format!("{{openai: {{authToken: {{secretRef: {{name: {name}}}}}}}}}")) + &route(name, path);
    let inline = format!("{{openai: {{authToken: {{inline: {CANARY}}}}}}}");
    let two_sources = format!("{{openai: {{authToken: {{inline: {CANARY}, passthrough: {{}}}}}}}}");
    let bad_host = format!("{{openai: {{authToken: {{inline: {CANARY}}}, customHost: {{host: \"not a host\", port: 0}}}}}}");
    let bedrock = format!("{{bedrock: {{credentialProvider: {{inline: {{accessKeyId: {CANARY}, secretAccessKey: {CANARY}}}}}}}}}");
    let anthropic = format!("{{anthropic: {{authToken: {{inline: {CANARY}}}}}}}");
    let gemini = format!("{{gemini: {{authToken: {{inline: {CANARY}}}, model: m, apiVersion: v1beta}}}}");
    [
        gateway(&[8080]),
        by_secret("good"),
        secret_with_data("good", &format!("data: {{Authorization: {CANARY_BASE64}}}")),
        by_secret("breaks"),
        secret("breaks", &format!("{CANARY}\\r\\nx-more: {CANARY}")),
        by_secret("several"),
        secret_with_data("several", &format!("stringData: {{one: {CANARY}, two: {CANARY}}}")),
        by_secret("control"),
        secret("control", &format!("{CANARY}\\x01")),
        upstream("inline", &inline) + &route("inline", path),
        upstream("two", &two_sources) + &route("two", path),
        upstream("bad-host", &bad_host) + &route("bad-host", path),
        upstream("bedrock", &bedrock) + &route("bedrock", path),
        upstream("anthropic", &anthropic) + &route("anthropic", "/v1/messages"),
        upstream("gemini", &gemini) + &route("gemini", "/v1beta/models/m:generateContent"),
        upstream("through", "{openai: {authToken: {passthrough: {}}}}") + &route("through", path),
        upstream("in-url", &inline) + &route("in-url", &format!("\"{path}?key={CANARY}\"")),
        upstream("in-header", &inline) + &route_with("in-header", &in_header()),
    ]
    .concat()
}

/// A rule that sets a literal credential header.
fn in_header() -> String {
    format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /in-header}}}}], \
         filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-api-key, value: {CANARY}}}]}}}}], \
         backendRefs: [{{name: in-header, group: gloo.solo.io, kind: Upstream}}]}}"
    )
}

const ROUTES: [&str; 13] = [
    "good",
    "breaks",
    "several",
    "control",
    "inline",
    "two",
    "bad-host",
    "bedrock",
    "anthropic",
    "gemini",
    "through",
    "in-url",
    "in-header",
];

const MODES: [&str; 6] = ["slow=1", "fail=500", "fail=401", "cut", "garbage", "nothing"];

/// A request that carries the client's token wherever one can be.
fn with_clients_token(target: &str) -> Request {
    Request::chat(&format!("{target}?key={CLIENTS}"))
        .header("Authorization", &format!("Bearer {CLIENTS}"))
        .header("x-api-key", CLIENTS)
        .header("api-key", CLIENTS)
        .header("X-Goog-Api-Key", CLIENTS)
}

/// Requests of all kinds, to every route.
fn talk(gateway: &Gateway, heard: &mut Heard) {
    for name in ROUTES {
        let target = format!("/{name}");
        heard.send(gateway, &Request::chat(&target));
        heard.send(gateway, &with_clients_token(&target));
        for mode in MODES {
            heard.send(gateway, &with_clients_token(&target).header("x-mock-mode", mode));
        }
        heard.send(gateway, &Request::chat_stream(&target));
        heard.send(gateway, &Request::chat_stream(&target).header("x-mock-mode", "cut-stream"));
    }
    heard.send(gateway, &with_clients_token("/nowhere"));
    heard.send(gateway, &Request::chat("/through").header("Authorization", &format!("Basic {CLIENTS}")));
    heard.send(gateway, &with_clients_token("/through").header("authorization", CLIENTS));
}

/// What is refused before it is a request, with the client's token in it.
fn talk_nonsense(gateway: &Gateway, heard: &mut Heard) -> anyhow::Result<()> {
    for bytes in [
        format!("GET /good HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CLIENTS}\x01\r\n\r\n"),
        format!("GET /good?key={CLIENTS} HTTP/1.1\r\nHost: a\r\nbad header: {CLIENTS}\r\n\r\n"),
        format!("POST /good HTTP/1.1\r\nHost: a\r\nAuthorization: {CLIENTS}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("GET /good HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {CLIENTS}{}\r\n\r\n", "a".repeat(70_000)),
    ] {
        let mut connection = Connection::open(gateway.addr())?;
        connection.write(bytes.as_bytes())?;
        let answer = String::from_utf8_lossy(&connection.read_to_end()?).into_owned();
        heard.0.push(("answer to nonsense".to_owned(), answer));
    }
    Ok(())
}

/// The log and every page of the admin port.
fn listen_to_the_rest(gateway: &Gateway, heard: &mut Heard) -> anyhow::Result<()> {
    for page in ["/metrics", "/config_dump", "/readyz", "/livez", "/nowhere"] {
        let answer = gateway.admin(page)?;
        heard.0.push((page.to_owned(), answer.text()));
    }
    heard.0.push(("the log".to_owned(), gateway.log()?));
    Ok(())
}

#[test]
fn shows_a_token_in_no_log_metric_dump_or_error() -> anyhow::Result<()> {
    let provider = Provider::with_key(CANARY)?;
    let broken = format!("apiVersion: gloo.solo.io/v1\nkind: Upstream\nspec: {{ai: {{openai: {{authToken: {{inline: {CANARY}\n");
    let wrong_type = format!("apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {{name: w}}\nspec: {{ai: {{openai: {CANARY}}}}}\n");
    let unknown = format!("apiVersion: example.com/v1\nkind: Vault\nmetadata: {{name: v}}\nspec: {{token: {CANARY}}}\n");
    let gateway = Setup::new()
        .manifest("all.yaml", &manifests())
        .manifest("broken.yaml", &broken)
        .manifest("wrong-type.yaml", &wrong_type)
        .manifest("unknown.yaml", &unknown)
        .provider(&provider)
        .start()?;
    let mut heard = Heard::default();
    // Without these two, silence would prove nothing.
    assert_eq!(heard.send(&gateway, &Request::chat("/good")), Some(200));
    assert_eq!(heard.send(&gateway, &Request::chat("/breaks")), Some(503));
    talk(&gateway, &mut heard);
    talk_nonsense(&gateway, &mut heard)?;
    listen_to_the_rest(&gateway, &mut heard)?;

    let said_in = |place: &str| heard.0.iter().find(|(known, _)| known == place).map(|(_, text)| text.as_str());
    let log = said_in("the log").context("no log")?;
    assert!(log.contains("DEBUG") && log.lines().count() > 40, "at trace level there is more to say:\n{log}");
    assert!(said_in("/metrics").context("no metrics")?.contains("# TYPE"), "the metrics are empty");
    assert!(said_in("/config_dump").context("no dump")?.contains("sha256:"), "the dump shows no fingerprint");
    assert!(heard.0.len() > 100);
    heard.assert_no_canary()
}

#[test]
fn shows_a_token_to_no_provider_with_another_name_and_in_no_error_about_it() -> anyhow::Result<()> {
    let provider =
        Provider::start(Options { keys: vec![CANARY.to_owned()], names: vec!["elsewhere.example".to_owned()], ..Options::default() })?;
    let gateway = Setup::new().manifest("all.yaml", &manifests()).provider(&provider).start()?;
    let mut heard = Heard::default();
    for name in ROUTES {
        assert_ne!(heard.send(&gateway, &with_clients_token(&format!("/{name}"))), Some(200));
    }
    listen_to_the_rest(&gateway, &mut heard)?;
    assert!(provider.journal().is_empty());
    heard.assert_no_canary()
}

//! A canary token takes every way that a token can take in a cluster, and is then looked for in everything that Keyward says.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use keyward_e2e::{Request, Response, send};
use keyward_e2e_kube::manifests::{gateway, route, secret, upstream};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Namespace, Operator, Page, PortForward, Provider, SOON, wait_until};
use serde_json::Value;

/// In manifests and Secrets.
pub(crate) const CANARY: &str = "sk-kwcanary7f3a9c1e5b2d";
/// In the requests of clients.
const CLIENTS: &str = "sk-kwclient0b8d6e2f4a1c";
/// Half a token is too much: parts of both, in clear and in base64 with and without `Bearer ` before it.
const TRACES: [&str; 4] = ["kwcanary", "kwclient", "LWt3Y2FuYXJ5", "a3djYW5hcnk3"];
/// How a panic is told of: before a program's logs are started, and after.
const PANICS: [&str; 2] = ["panicked at", "this should not happen"];
const ADMIN: u16 = 15000;

/// Everything that was heard, by where it was said.
#[derive(Default)]
pub(crate) struct Heard(Vec<(String, String)>);

impl Heard {
    pub(crate) fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    pub(crate) fn said_in(&self, place: &str) -> Result<&str> {
        self.0.iter().find(|(known, _)| known == place).map(|(_, text)| text.as_str()).with_context(|| format!("nothing from {place}"))
    }

    pub(crate) fn assert_no_canary(&self) -> Result<()> {
        for (place, text) in &self.0 {
            ensure!(!PANICS.iter().any(|said| text.contains(said)), "a panic in {place}");
            let Some(found) = TRACES.iter().find_map(|trace| text.find(trace)) else { continue };
            let around = text.as_bytes().get(found.saturating_sub(300)..text.len().min(found + 40)).unwrap_or_default();
            bail!("a canary is in {place}: ...{}...", String::from_utf8_lossy(around));
        }
        Ok(())
    }
}

/// Good credentials of all kinds, and bad ones that are spoken of.
fn manifests(host: &str) -> String {
    [
        gateway("gw"),
        secret("good", &format!("Bearer {CANARY}")),
        secret("broken", &format!("{CANARY}\\r\\nx-more: {CANARY}")),
        upstream("inline", &format!("{{inline: {CANARY}}}"), host),
        upstream("good", "{secretRef: {name: good}}", host),
        upstream("broken", "{secretRef: {name: broken}}", host),
        upstream("through", "{passthrough: {}}", host),
        upstream("spaced", &format!("{{inline: \"{CANARY} {CANARY}\"}}"), host),
        ["inline", "good", "broken", "through", "spaced"].map(|name| route(name, "gw", name)).concat(),
    ]
    .concat()
}

/// A client's own token is in every place that one can be; where the client's is the one that counts, in one place only.
fn ask(address: SocketAddr, name: &str) -> Result<Response> {
    let request = match name {
        "through" => Request::chat("/through").header("authorization", &format!("Bearer {CANARY}")),
        name => {
            let request = Request::chat(&format!("/{name}?key={CLIENTS}")).header("x-api-key", CLIENTS);
            request.header("authorization", &format!("Bearer {CLIENTS}"))
        }
    };
    send(address, &request)
}

/// Requests that are served, refused, and answered badly.
fn talk(address: SocketAddr, heard: &mut Heard) -> Result<()> {
    for (name, status) in [("inline", 200), ("good", 200), ("broken", 503), ("through", 200), ("spaced", 503), ("nowhere", 404)] {
        let answer = wait_until(&format!("/{name} is answered with {status}"), SOON, || {
            let answer = ask(address, name)?;
            ensure!(answer.status == status, "{} {}", answer.status, answer.text());
            Ok(answer)
        })?;
        heard.note(format!("answer of /{name}"), format!("{:?}\n{}", answer.head, answer.text()));
        for mode in ["fail=401", "fail=500", "cut", "garbage"] {
            let request =
                Request::chat(&format!("/{name}")).header("x-mock-mode", mode).header("authorization", &format!("Bearer {CLIENTS}"));
            let said = send(address, &request).map_or_else(|error| format!("{error:#}"), |answer| answer.text());
            heard.note(format!("answer of /{name} with {mode}"), said);
        }
    }
    Ok(())
}

fn listen_to_the_operator(cluster: &Cluster, heard: &mut Heard) -> Result<()> {
    let operator = Operator(cluster);
    heard.note("the operator's logs", operator.logs()?);
    for replica in operator.replicas()? {
        heard.note(format!("metrics of {}", replica.name), operator.metrics(&replica)?.text());
    }
    Ok(())
}

fn listen_to_the_proxy(namespace: &Namespace<'_>, heard: &mut Heard) -> Result<()> {
    let proxy = namespace.proxies("gw", 1)?.remove(0);
    let log = namespace.cluster().kubectl(&["logs", "-n", namespace.name(), &proxy.name, "--tail=-1"], None)?;
    heard.note("the proxy's log", log);
    heard.note("the proxy's metrics", Page::read(proxy.address, ADMIN)?.text());
    let forward = PortForward::start(namespace.name(), &proxy.name, ADMIN)?;
    for page in ["/config_dump", "/readyz", "/nowhere"] {
        heard.note(page, send(forward.address(), &Request::get(page))?.text());
    }
    let refused = send(SocketAddr::new(proxy.address, ADMIN), &Request::get("/config_dump"))?;
    ensure!(refused.status == 403, "the configuration is shown to others: {}", refused.status);
    Ok(())
}

/// Statuses of the test's objects, everything that Keyward writes into their namespace, and the Events there.
fn listen_to_the_api_server(namespace: &Namespace<'_>, heard: &mut Heard) -> Result<()> {
    let list = |kind: Kind| namespace.cluster().list(kind, namespace.name(), "");
    for kind in [Kind::GATEWAY, Kind::HTTP_ROUTE, Kind::UPSTREAM] {
        for object in list(kind)? {
            let place = format!("status of {} {}", kind.name(), object["metadata"]["name"]);
            heard.note(place, object["status"].to_string());
        }
    }
    let owned = "app.kubernetes.io/managed-by=keyward";
    for kind in [Kind::DEPLOYMENT, Kind::SERVICE, Kind::CONFIG_MAP, Kind::POD, Kind::SERVICE_ACCOUNT] {
        let objects = namespace.cluster().list(kind, namespace.name(), owned)?;
        heard.note(format!("objects of kind {}", kind.name()), Value::from(objects).to_string());
    }
    heard.note("events", Value::from(list(Kind::EVENT)?).to_string());
    Ok(())
}

#[test]
fn shows_a_token_in_no_log_metric_dump_event_or_status() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "canary")?;
    let provider = Provider::start(&namespace, &[CANARY])?;
    namespace.apply(&manifests(&provider.custom_host()))?;
    let mut heard = Heard::default();
    talk(namespace.address("gw")?, &mut heard)?;
    wait_until("events are there", SOON, || {
        ensure!(!namespace.events_about("broken")?.is_empty() && !namespace.events_about("spaced")?.is_empty(), "not all");
        Ok(())
    })?;
    listen_to_the_operator(&cluster, &mut heard)?;
    listen_to_the_proxy(&namespace, &mut heard)?;
    listen_to_the_api_server(&namespace, &mut heard)?;

    // Silence would prove nothing.
    assert!(heard.said_in("/config_dump")?.contains("sha256:"), "the dump shows no fingerprint");
    assert!(heard.said_in("the operator's logs")?.contains(namespace.name()), "the operator's log does not know the namespace");
    assert!(heard.said_in("the proxy's log")?.contains("connected"), "the proxy's log is empty");
    assert!(heard.said_in("events")?.contains("InvalidSecret"), "no Event tells of the broken Secret");
    heard.assert_no_canary()
}

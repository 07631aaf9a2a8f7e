//! Starting: what is in the way is named, and what can be served is.

use std::net::TcpListener;

use keyward_e2e::{Provider, Request, Setup, gateway, loopback, route, upstream};

const KEY: &str = "sk-start-tests";

fn manifests(ports: &[u16]) -> String {
    let upstream = upstream("openai", &format!("{{openai: {{authToken: {{inline: {KEY}}}}}}}"));
    gateway(ports) + &upstream + &route("openai", "/v1/chat/completions")
}

fn assert_names_the_port(log: &str, port: u16) {
    let named = |line: &str| line.contains(&port.to_string()) && line.to_lowercase().contains("in use");
    assert!(log.lines().any(named), "no line says that port {port} is in use:\n{log}");
}

#[test]
fn ends_with_a_clear_message_when_its_only_port_is_in_use() -> anyhow::Result<()> {
    let address = loopback();
    let _occupant = TcpListener::bind((address, 8080))?;
    let ended = Setup::new().address(address).manifest("all.yaml", &manifests(&[8080])).log_filter("info").run_to_exit()?;
    assert!(!ended.status.success(), "{}", ended.log);
    assert_names_the_port(&ended.log, 8080);
    Ok(())
}

#[test]
fn ends_with_a_clear_message_when_another_gateway_has_the_port() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let address = loopback();
    let first = Setup::new().address(address).manifest("all.yaml", &manifests(&[8080])).provider(&provider).start()?;
    let ended = Setup::new().address(address).manifest("all.yaml", &manifests(&[8080])).log_filter("info").run_to_exit()?;
    assert!(!ended.status.success(), "two gateways share a port:\n{}", ended.log);
    assert_names_the_port(&ended.log, 8080);
    assert_eq!(first.send(&Request::chat("/openai"))?.status, 200);
    Ok(())
}

#[test]
fn serves_the_other_listener_when_one_port_is_in_use() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let address = loopback();
    let _occupant = TcpListener::bind((address, 8081))?;
    let gateway = Setup::new().address(address).manifest("all.yaml", &manifests(&[8080, 8081])).provider(&provider).start()?;
    assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200);
    assert_names_the_port(&gateway.log()?, 8081);
    Ok(())
}

#[test]
fn reports_what_it_does_not_understand_and_serves_the_rest() -> anyhow::Result<()> {
    let provider = Provider::with_key(KEY)?;
    let gateway = Setup::new()
        .manifest("all.yaml", &manifests(&[8080]))
        .manifest("unknown.yaml", "apiVersion: example.com/v1\nkind: Vault\nmetadata: {name: v}\n")
        .manifest("malformed.yaml", "kind: [\n")
        .manifest("no-kind.yaml", "metadata: {name: v}\n")
        .manifest("empty.yaml", "# nothing\n---\n---\n")
        .provider(&provider)
        .start()?;
    assert_eq!(gateway.send(&Request::chat("/openai"))?.status, 200);
    let log = gateway.log()?;
    for file in ["unknown.yaml", "malformed.yaml", "no-kind.yaml"] {
        assert!(log.contains(file), "{file} is not reported:\n{log}");
    }
    Ok(())
}

#[test]
fn says_that_it_lives_and_is_ready() -> anyhow::Result<()> {
    let gateway = Setup::new().manifest("all.yaml", &manifests(&[8080])).start()?;
    assert_eq!(gateway.admin("/livez")?.status, 200);
    assert_eq!(gateway.admin("/readyz")?.status, 200);
    Ok(())
}

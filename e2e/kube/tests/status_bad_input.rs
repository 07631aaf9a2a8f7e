//! What users get wrong about Gateways, and what is said of it.

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway_with, parameters};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, holds_for, says, wait_until};
use serde_json::{Value, json};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";
/// The cluster gives this one to whoever asks for it.
const ASKED_FOR: &str = "172.30.0.200";

fn status(namespace: &Namespace<'_>, gateway: &str) -> Result<Value> {
    Ok(namespace.get(Kind::GATEWAY, gateway)?["status"].clone())
}

#[test]
fn a_gateway_whose_parameters_do_not_exist_is_not_accepted_until_they_do() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "parameters")?;
    namespace.apply(&gateway_with("gw", LISTENERS, Some("missing")))?;
    wait_until("the Gateway says it", SOON, || {
        let status = status(&namespace, "gw")?;
        says(&status, "Accepted", "False", "InvalidParameters")?;
        ensure!(message(&status, "Accepted").contains("missing"), "{status:#}");
        Ok(())
    })?;
    assert!(cluster.find(Kind::DEPLOYMENT, namespace.name(), "gw-keyward")?.is_none(), "it runs although it is not accepted");
    namespace.apply(&parameters("missing", "{replicas: 1}"))?;
    namespace.address("gw").map(drop)
}

fn message(of: &Value, kind: &str) -> String {
    let conditions = of["conditions"].as_array().into_iter().flatten();
    let found = conditions.filter(|one| one["type"] == kind).find_map(|one| one["message"].as_str());
    found.unwrap_or_default().to_owned()
}

#[test]
fn a_listener_of_unknown_protocol_is_refused_and_the_one_beside_it_served() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "protocol")?;
    let listeners = "[{name: odd, protocol: example.com/pigeon, port: 9090}, {name: http, protocol: HTTP, port: 8080}]";
    namespace.apply(&gateway_with("gw", listeners, None))?;
    let address = namespace.address("gw")?;
    let status = status(&namespace, "gw")?;
    says(&status, "Accepted", "True", "ListenersNotValid")?;
    says(&status["listeners"][0], "Accepted", "False", "UnsupportedProtocol")?;
    says(&status["listeners"][0], "Programmed", "False", "Invalid")?;
    says(&status["listeners"][1], "Programmed", "True", "Programmed")?;
    assert_eq!(status["listeners"][0]["supportedKinds"], json!([]));
    let answer = send(address, &Request::get("/"))?;
    assert_eq!(answer.status, 404, "{}", answer.text());
    Ok(())
}

#[test]
fn serves_a_gateway_with_a_name_of_253_characters() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "long")?;
    let name = "long-name-".repeat(25) + "end";
    assert_eq!(name.len(), 253);
    namespace.apply(&gateway_with(&name, LISTENERS, None))?;
    let address = namespace.address(&name)?;
    let answer = send(address, &Request::get("/"))?;
    assert_eq!(answer.status, 404, "{}", answer.text());
    namespace.delete(Kind::GATEWAY, &name)?;
    wait_until("what ran for it is gone", SOON, || {
        let left = cluster.list(Kind::DEPLOYMENT, namespace.name(), "app.kubernetes.io/managed-by=keyward")?;
        ensure!(left.is_empty(), "{} Deployments", left.len());
        Ok(())
    })
}

/// An address has one owner. Who asks for it and does not have it says so, and is reached elsewhere or not at all.
#[test]
fn two_gateways_that_ask_for_one_address_never_share_it_in_silence() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "address")?;
    let asking = |name: &str| {
        let addresses = format!("spec:\n  addresses: [{{type: IPAddress, value: {ASKED_FOR}}}]");
        gateway_with(name, LISTENERS, None).replacen("spec:", &addresses, 1)
    };
    namespace.apply(&[asking("one"), asking("two")].concat())?;
    let told = || {
        for name in ["one", "two"] {
            let status = status(&namespace, name)?;
            let has = addresses(&status).contains(&ASKED_FOR.to_owned());
            let said = ["Accepted", "Programmed"].map(|kind| message(&status, kind)).concat();
            ensure!(has || said.contains("address"), "{name} does not say that it has another address: {status:#}");
            ensure!(status["conditions"][0]["observedGeneration"] == 1, "{name}: {status:#}");
        }
        Ok(())
    };
    wait_until("each says what it has", SOON, told)?;
    holds_for("no address has two owners", std::time::Duration::from_secs(5), || {
        let (one, two) = (addresses(&status(&namespace, "one")?), addresses(&status(&namespace, "two")?));
        ensure!(one.iter().all(|address| !two.contains(address)), "{one:?} {two:?}");
        Ok(())
    })?;
    told().context("it was said once and no more")
}

fn addresses(status: &Value) -> Vec<String> {
    let addresses = status["addresses"].as_array().into_iter().flatten();
    addresses.filter_map(|address| address["value"].as_str()).map(str::to_owned).collect()
}

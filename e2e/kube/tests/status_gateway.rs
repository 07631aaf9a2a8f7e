//! What the statuses of Gateways and GatewayClasses say.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::manifests::{gateway_with, route, route_with, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, SOON, holds_for, is_current, says, wait_until};
use serde_json::{Value, json};

const LISTENERS: &str = "[{name: http, protocol: HTTP, port: 8080}]";

/// A Gateway `gw` with a route that is served and one whose Service does not exist.
fn served<'c>(cluster: &'c Cluster, prefix: &str) -> Result<Namespace<'c>> {
    let namespace = Namespace::create(cluster, prefix)?;
    let missing = "{backendRefs: [{name: missing, port: 80}]}".to_owned();
    let manifests = [
        gateway_with("gw", LISTENERS, None),
        upstream("openai", "{inline: sk-status}", ""),
        route("good", "gw", "openai"),
        route_with("bad", "gw", &[missing]),
    ];
    namespace.apply(&manifests.concat())?;
    namespace.address("gw")?;
    Ok(namespace)
}

fn gateway(namespace: &Namespace<'_>) -> Result<Value> {
    namespace.get(Kind::GATEWAY, "gw")
}

fn attached(gateway: &Value) -> &Value {
    &gateway["status"]["listeners"][0]["attachedRoutes"]
}

/// All conditions of a Gateway and of its listeners.
fn conditions(gateway: &Value) -> Vec<&Value> {
    let status = &gateway["status"];
    let holders = status["listeners"].as_array().into_iter().flatten().chain([status]);
    holders.flat_map(|holder| holder["conditions"].as_array().into_iter().flatten()).collect()
}

#[test]
fn says_what_is_true_of_a_gateway_and_its_listeners_and_counts_its_routes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = served(&cluster, "truth")?;
    let found = wait_until("both routes count", SOON, || {
        let found = gateway(&namespace)?;
        ensure!(*attached(&found) == 2, "{:#}", found["status"]);
        Ok(found)
    })?;
    let (status, listener) = (&found["status"], &found["status"]["listeners"][0]);
    says(status, "Accepted", "True", "Accepted")?;
    says(status, "Programmed", "True", "Programmed")?;
    says(listener, "Accepted", "True", "Accepted")?;
    says(listener, "Conflicted", "False", "NoConflicts")?;
    says(listener, "ResolvedRefs", "True", "ResolvedRefs")?;
    says(listener, "Programmed", "True", "Programmed")?;
    let kinds: Vec<&Value> = listener["supportedKinds"].as_array().context("no supportedKinds")?.iter().map(|one| &one["kind"]).collect();
    assert!(kinds.iter().any(|kind| **kind == "HTTPRoute") && kinds.iter().any(|kind| **kind == "GRPCRoute"), "{kinds:?}");

    namespace.delete(Kind::HTTP_ROUTE, "bad")?;
    wait_until("a deleted route counts no more", SOON, || {
        let found = gateway(&namespace)?;
        ensure!(*attached(&found) == 1, "{:#}", found["status"]);
        Ok(())
    })
}

#[test]
fn every_condition_is_about_the_newest_generation() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = served(&cluster, "generation")?;
    let two = "[{name: http, protocol: HTTP, port: 8080}, {name: more, protocol: HTTP, port: 8081}]";
    namespace.apply(&gateway_with("gw", two, None))?;
    let found = wait_until("the second listener is programmed", SOON, || {
        let found = gateway(&namespace)?;
        says(&found["status"]["listeners"][1], "Programmed", "True", "Programmed")?;
        says(&found["status"], "Programmed", "True", "Programmed")?;
        let old = conditions(&found).into_iter().find(|condition| !is_current(&found, condition));
        ensure!(old.is_none(), "{old:?}");
        Ok(found)
    })?;
    assert_eq!(found["metadata"]["generation"], 2);
    assert_eq!(conditions(&found).len(), 2 + 2 * 4);
    Ok(())
}

/// Resource versions of everything that Keyward writes for one Gateway, and of what it says about others.
fn versions(namespace: &Namespace<'_>) -> Result<BTreeMap<String, Value>> {
    let infra = [Kind::DEPLOYMENT, Kind::SERVICE, Kind::SERVICE_ACCOUNT, Kind::CONFIG_MAP, Kind::POD_DISRUPTION_BUDGET];
    let mut objects: Vec<(Kind, Value)> = vec![
        (Kind::GATEWAY_CLASS, namespace.cluster().get(Kind::GATEWAY_CLASS, "", "keyward")?),
        (Kind::GATEWAY, gateway(namespace)?),
        (Kind::UPSTREAM, namespace.get(Kind::UPSTREAM, "openai")?),
        (Kind::HTTP_ROUTE, namespace.get(Kind::HTTP_ROUTE, "good")?),
    ];
    for kind in infra {
        objects.push((kind, namespace.get(kind, "gw-keyward")?));
    }
    Ok(objects.into_iter().map(|(kind, object)| (kind.name().to_owned(), object["metadata"]["resourceVersion"].clone())).collect())
}

#[test]
fn writes_nothing_when_nothing_changes() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = served(&cluster, "quiet")?;
    let settled = wait_until("everything was said", SOON, || {
        let before = versions(&namespace)?;
        std::thread::sleep(Duration::from_secs(2));
        ensure!(before == versions(&namespace)?, "it changes still");
        Ok(before)
    })?;
    holds_for("nothing is written", Duration::from_secs(5), || {
        let now = versions(&namespace)?;
        ensure!(now == settled, "{settled:?} became {now:?}");
        Ok(())
    })
}

#[test]
fn puts_back_what_somebody_else_changes_in_a_gateways_infrastructure() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = served(&cluster, "drift")?;
    let elsewhere = json!({ "name": "port-8080", "port": 8080, "protocol": "TCP", "targetPort": 1 });
    cluster.patch(Kind::SERVICE, namespace.name(), "gw-keyward", &json!({ "spec": { "ports": [elsewhere] } }))?;
    namespace.delete(Kind::POD_DISRUPTION_BUDGET, "gw-keyward")?;
    wait_until("the Service has its port again and the budget is back", SOON, || {
        let service = namespace.get(Kind::SERVICE, "gw-keyward")?;
        ensure!(service["spec"]["ports"][0]["targetPort"] == 8080, "{:#}", service["spec"]);
        namespace.get(Kind::POD_DISRUPTION_BUDGET, "gw-keyward").map(drop)
    })
}

#[test]
fn publishes_the_features_that_its_class_supports() -> Result<()> {
    let cluster = Cluster::shared()?;
    let class = cluster.get(Kind::GATEWAY_CLASS, "", "keyward")?;
    says(&class["status"], "Accepted", "True", "Accepted")?;
    let features = class["status"]["supportedFeatures"].as_array().context("no supportedFeatures")?;
    let names: Vec<&str> = features.iter().filter_map(|feature| feature["name"].as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    for name in ["Gateway", "GRPCRoute", "HTTPRoute", "ReferenceGrant"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    Ok(())
}

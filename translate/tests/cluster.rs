//! What only a cluster has: the Service in front of a Gateway's proxies, with the ports of all listeners and the address that is asked for,
//! and what statuses say of that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use translate::{
    ClusterSettings, ConfigChange, GatewayStatus, InfraObject, ListenerSetStatus, Object, ObjectKey, Proxies, Settings, Status, Translator,
    Update,
};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn translator() -> Translator {
    let cluster = Some(ClusterSettings::default());
    Translator::new(Settings { implied_class: Some("keyward".to_owned()), cluster, ..Settings::default() })
}

fn gateway(more: &Value) -> Object {
    let mut spec = json!({ "gatewayClassName": "keyward", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Object::Gateway(read(json!({ "metadata": { "namespace": "ns", "name": "gw", "uid": "u", "generation": 1 }, "spec": spec })))
}

fn listener_set() -> Object {
    let listeners = json!([{ "name": "more", "port": 81, "protocol": "HTTP" }, { "name": "same", "port": 80, "protocol": "HTTP" }]);
    let metadata = json!({ "namespace": "ns", "name": "set", "generation": 2 });
    Object::ListenerSet(read(json!({ "metadata": metadata, "spec": { "parentRef": { "name": "gw" }, "listeners": listeners } })))
}

/// The Gateway's Service, with what a load balancer gave it.
fn service(ip: Option<&str>) -> Object {
    let ingress: Vec<Value> = ip.map(|ip| json!({ "ip": ip })).into_iter().collect();
    let status = json!({ "loadBalancer": { "ingress": ingress } });
    let metadata = json!({ "namespace": "ns", "name": "gw-keyward" });
    Object::Service(read(json!({ "metadata": metadata, "spec": { "type": "LoadBalancer" }, "status": status })))
}

/// Its one proxy is ready and has what was just translated.
fn acknowledge(translator: &mut Translator, update: &Update) {
    let key = ObjectKey::new("ns", "gw");
    let Some(ConfigChange::Delta { listeners_digest, .. }) = update.configs.get(&key) else { panic!("there is no configuration") };
    let acked = BTreeMap::from([("pod".to_owned(), listeners_digest.clone())]);
    translator.set_proxies(&key, Proxies { ready: BTreeSet::from(["pod".to_owned()]), acked, trouble: None });
}

/// What is said in the end, once the proxy has everything.
fn said(objects: Vec<Object>) -> (GatewayStatus, Option<ListenerSetStatus>, Vec<InfraObject>) {
    let mut translator = translator();
    objects.into_iter().for_each(|object| translator.set(object));
    let first = translator.translate();
    acknowledge(&mut translator, &first);
    let second = translator.translate();
    let infra = first.infra.values().flatten().flat_map(translate::Infra::objects).collect();
    let (mut gateway, mut set) = (None, None);
    for (_, _, status) in first.statuses.into_iter().chain(second.statuses) {
        match status {
            Some(Status::Gateway(status)) => gateway = Some(status),
            Some(Status::ListenerSet(status)) => set = Some(status),
            _ => {}
        }
    }
    (gateway.unwrap(), set, infra)
}

fn condition<'c>(conditions: &'c [Condition], kind: &str) -> (&'c str, &'c str) {
    let found = conditions.iter().find(|one| one.type_ == kind).unwrap_or_else(|| panic!("no condition {kind}"));
    (found.status.as_str(), found.reason.as_str())
}

fn addresses(status: &GatewayStatus) -> Vec<&str> {
    status.addresses.iter().map(|address| address.value.as_str()).collect()
}

fn service_spec(infra: &[InfraObject]) -> &Value {
    &infra.iter().find(|object| object.kind == "Service").unwrap().value["spec"]
}

#[test]
fn an_address_without_a_value_is_any_address() {
    let (status, _, infra) = said(vec![gateway(&json!({ "addresses": [{ "type": "IPAddress" }] })), service(Some("192.0.2.1"))]);
    assert_eq!(condition(&status.conditions, "Programmed"), ("True", "Programmed"));
    assert_eq!(addresses(&status), ["192.0.2.1"]);
    assert!(service_spec(&infra).get("loadBalancerIP").is_none());
}

#[test]
fn an_address_of_another_type_is_not_accepted() {
    let asked = json!({ "addresses": [{ "type": "example.com/name", "value": "x" }, { "value": "192.0.2.1" }] });
    let (status, _, infra) = said(vec![gateway(&asked)]);
    assert_eq!(condition(&status.conditions, "Accepted"), ("False", "UnsupportedAddress"));
    assert_eq!(condition(&status.conditions, "Programmed").0, "False");
    assert!(infra.is_empty());
}

#[test]
fn an_address_that_was_not_given_is_not_usable() {
    for (asked, given) in [
        (json!([{ "value": "192.0.2.1" }]), None),
        (json!([{ "value": "192.0.2.1" }]), Some("192.0.2.2")),
        (json!([{ "value": "192.0.2.1" }, { "value": "192.0.2.2" }]), Some("192.0.2.2")),
    ] {
        let (status, _, infra) = said(vec![gateway(&json!({ "addresses": asked })), service(given)]);
        assert_eq!(condition(&status.conditions, "Accepted"), ("True", "Accepted"));
        assert_eq!(condition(&status.conditions, "Programmed"), ("False", "AddressNotUsable"), "{asked} {given:?}");
        assert_eq!(service_spec(&infra)["loadBalancerIP"], "192.0.2.1");
    }
}

#[test]
fn an_address_that_was_given_is_the_only_one() {
    let (status, _, _) = said(vec![gateway(&json!({ "addresses": [{ "value": "192.0.2.1" }] })), service(Some("192.0.2.1"))]);
    assert_eq!(condition(&status.conditions, "Programmed"), ("True", "Programmed"));
    assert_eq!(addresses(&status), ["192.0.2.1"]);
}

#[test]
fn the_service_has_the_ports_of_listener_sets_and_both_are_programmed() {
    let allowed = json!({ "allowedListeners": { "namespaces": { "from": "Same" } } });
    let (gateway, set, infra) = said(vec![gateway(&allowed), listener_set(), service(Some("192.0.2.1"))]);
    let ports: Vec<&Value> = service_spec(&infra)["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
    assert_eq!(ports, [80, 81]);
    assert_eq!(condition(&gateway.conditions, "Accepted"), ("True", "Accepted"));
    assert_eq!((gateway.attached_listener_sets, gateway.listeners.len()), (Some(1), 1));
    let set = set.unwrap();
    assert_eq!(condition(&set.conditions, "Accepted"), ("True", "ListenersNotValid"));
    assert_eq!(condition(&set.conditions, "Programmed"), ("True", "Programmed"));
    assert!(set.conditions.iter().all(|one| one.observed_generation == Some(2)));
    let [more, same] = set.listeners.as_slice() else { panic!("{:?}", set.listeners) };
    assert_eq!((more.name.as_str(), condition(&more.conditions, "Programmed")), ("more", ("True", "Programmed")));
    for (kind, status) in [("Accepted", "False"), ("Programmed", "False"), ("Conflicted", "True")] {
        assert_eq!(condition(&same.conditions, kind), (status, "HostnameConflict"), "{kind}");
    }
}

#[test]
fn a_listener_set_waits_for_its_gateway() {
    let allowed = json!({ "allowedListeners": { "namespaces": { "from": "Same" } } });
    let (_, set, _) = said(vec![gateway(&allowed), listener_set(), service(None)]);
    let set = set.unwrap();
    assert_eq!(condition(&set.conditions, "Accepted").0, "True");
    assert_eq!(condition(&set.conditions, "Programmed"), ("False", "ParentNotProgrammed"));
}

#[test]
fn a_listener_set_that_nobody_admits_says_so_and_listens_nowhere() {
    let (gateway, set, infra) = said(vec![gateway(&json!({})), listener_set(), service(Some("192.0.2.1"))]);
    assert_eq!(gateway.attached_listener_sets, Some(0));
    let set = set.unwrap();
    for kind in ["Accepted", "Programmed"] {
        assert_eq!(condition(&set.conditions, kind), ("False", "NotAllowed"), "{kind}");
    }
    assert_eq!(service_spec(&infra)["ports"].as_array().unwrap().len(), 1);
}

//! What only a cluster has: the Service in front of a Gateway's proxies, with the ports of all listeners and the address that is asked for,
//! and what statuses say of that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use translate::{
    ClusterSettings, ConfigChange, GatewayStatus, InfraObject, Kind, ListenerSetStatus, Object, ObjectKey, Proxies, Settings, Status,
    Translator, Update,
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
    service_named("gw-keyward", ip)
}

fn service_named(name: &str, ip: Option<&str>) -> Object {
    let ingress: Vec<Value> = ip.map(|ip| json!({ "ip": ip })).into_iter().collect();
    let status = json!({ "loadBalancer": { "ingress": ingress } });
    let metadata = json!({ "namespace": "ns", "name": name });
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
    let (gateway, set) = last_of(first.statuses.into_iter().chain(second.statuses));
    (gateway.unwrap(), set, infra)
}

/// The last statuses of the Gateway and of the ListenerSet.
fn last_of(statuses: impl IntoIterator<Item = (Kind, ObjectKey, Option<Status>)>) -> (Option<GatewayStatus>, Option<ListenerSetStatus>) {
    let (mut gateway, mut set) = (None, None);
    for (_, _, status) in statuses {
        match status {
            Some(Status::Gateway(status)) => gateway = Some(status),
            Some(Status::ListenerSet(status)) => set = Some(status),
            _ => {}
        }
    }
    (gateway, set)
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

/// The GatewayClass `own`.
fn class(controller: &str) -> Object {
    Object::GatewayClass(read(json!({ "metadata": { "name": "own", "generation": 1 }, "spec": { "controllerName": controller } })))
}

fn class_is_gone(translator: &mut Translator) {
    translator.remove(Kind::GatewayClass, &ObjectKey::new("", "own"));
}

/// A Gateway of the class `own` and its ListenerSet, both programmed.
fn of_own_class() -> Translator {
    let mut translator = translator();
    let more = json!({ "gatewayClassName": "own", "allowedListeners": { "namespaces": { "from": "Same" } } });
    let objects = [class("keyward.dev/gateway-controller"), gateway(&more), listener_set(), service_named("gw-own", Some("192.0.2.1"))];
    objects.into_iter().for_each(|object| translator.set(object));
    let first = translator.translate();
    acknowledge(&mut translator, &first);
    let (gateway, set) = last_of(translator.translate().statuses);
    assert_eq!(condition(&gateway.unwrap().conditions, "Programmed"), ("True", "Programmed"));
    assert_eq!(condition(&set.unwrap().conditions, "Programmed"), ("True", "Programmed"));
    translator
}

#[test]
fn a_gateway_whose_class_goes_says_so_and_keeps_what_runs_for_it() {
    let mut translator = of_own_class();
    class_is_gone(&mut translator);
    let update = translator.translate();
    assert!(update.infra.is_empty(), "what runs is touched");
    let (gateway, set) = last_of(update.statuses);
    let (gateway, set) = (gateway.unwrap(), set.unwrap());
    for conditions in [&gateway.conditions, &set.conditions] {
        assert_eq!(conditions.len(), 2);
        for kind in ["Accepted", "Programmed"] {
            assert_eq!(condition(conditions, kind), ("Unknown", "Pending"));
        }
        assert!(conditions.iter().all(|one| one.message.contains("no GatewayClass own")), "{conditions:?}");
    }
    assert_eq!((gateway.conditions[0].observed_generation, set.conditions[0].observed_generation), (Some(1), Some(2)));
    assert_eq!(addresses(&gateway), ["192.0.2.1"]);
    assert!(gateway.listeners.is_empty() && set.listeners.is_empty());

    translator.set(class("keyward.dev/gateway-controller"));
    let (gateway, set) = last_of(translator.translate().statuses);
    assert_eq!(condition(&gateway.unwrap().conditions, "Accepted"), ("True", "Accepted"));
    assert_eq!(condition(&set.unwrap().conditions, "Accepted").0, "True");
}

#[test]
fn a_gateway_that_names_a_class_that_does_not_exist_says_where_what_runs_is_reached() {
    let mut translator = of_own_class();
    translator.set(gateway(&json!({ "gatewayClassName": "typo" })));
    let update = translator.translate();
    assert!(update.infra.is_empty(), "what runs is touched");
    let status = last_of(update.statuses).0.unwrap();
    assert!(status.conditions[0].message.contains("no GatewayClass typo"), "{:?}", status.conditions);
    assert_eq!(addresses(&status), ["192.0.2.1"]);

    translator.set(service_named("gw-own", Some("192.0.2.2")));
    let status = last_of(translator.translate().statuses).0.unwrap();
    assert_eq!(addresses(&status), ["192.0.2.2"]);
}

#[test]
fn a_listener_set_whose_gateway_goes_says_so() {
    let mut translator = of_own_class();
    translator.remove(Kind::Gateway, &ObjectKey::new("ns", "gw"));
    let set = last_of(translator.translate().statuses).1.unwrap();
    for kind in ["Accepted", "Programmed"] {
        assert_eq!(condition(&set.conditions, kind), ("Unknown", "Pending"));
    }
    assert!(set.conditions.iter().all(|one| one.message.contains("Gateway ns/gw does not exist")), "{:?}", set.conditions);
    assert!(set.listeners.is_empty());

    translator.remove(Kind::ListenerSet, &ObjectKey::new("ns", "set"));
    assert_eq!(last_of(translator.translate().statuses), (None, None));
}

#[test]
fn a_listener_set_that_never_had_a_gateway_is_not_spoken_of() {
    let mut translator = translator();
    translator.set(listener_set());
    let update = translator.translate();
    assert!(update.statuses.is_empty(), "{:?}", update.statuses);
    let problems: Vec<&str> = update.problems.values().flatten().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(problems, ["ParentNotAccepted"]);
}

#[test]
fn a_gateway_whose_class_becomes_anothers_is_let_go() {
    let mut translator = of_own_class();
    class_is_gone(&mut translator);
    translator.translate();
    translator.set(class("example.com/other"));
    let update = translator.translate();
    let statuses: Vec<_> = update.statuses.iter().map(|(kind, _, status)| (*kind, status.is_some())).collect();
    assert!(statuses.contains(&(Kind::Gateway, false)) && statuses.contains(&(Kind::ListenerSet, false)), "{statuses:?}");
    assert!(update.infra.values().all(Option::is_none) && update.infra.len() == 1, "what runs is left behind");
}

#[test]
fn what_an_earlier_process_let_run_for_a_gateway_that_is_anothers_now_is_let_go_once() {
    let mut translator = translator();
    let more = json!({ "gatewayClassName": "own" });
    translator.set(gateway(&more));
    assert!(translator.translate().infra.is_empty(), "nobody's class says nothing about what runs");
    translator.set(class("example.com/other"));
    let update = translator.translate();
    assert!(update.infra.values().all(Option::is_none) && update.infra.len() == 1, "what runs is left behind");
    assert!(update.statuses.is_empty() && update.problems.values().all(Vec::is_empty), "another's Gateway is spoken of");
    translator.set(gateway(&json!({ "gatewayClassName": "own", "addresses": [] })));
    assert!(translator.translate().infra.is_empty(), "it was let go already");
    translator.remove(Kind::Gateway, &ObjectKey::new("ns", "gw"));
    assert!(translator.translate().infra.is_empty(), "it was let go already");
}

#[test]
fn a_gateway_of_a_class_that_never_was_is_not_spoken_of() {
    let mut translator = translator();
    translator.set(gateway(&json!({ "gatewayClassName": "own" })));
    let update = translator.translate();
    assert!(update.statuses.is_empty(), "{:?}", update.statuses);
    let problems: Vec<&str> = update.problems.values().flatten().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(problems, ["UnknownGatewayClass"]);
}

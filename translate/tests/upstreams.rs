//! Upstreams of Gloo's other types: Gloo serves and reports them, and nothing is said of them here but where a route of ours leads to one.
//! One that is only written wrongly is none of these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use serde_json::{Value, json};
use translate::{InlineCredentials, Kind, Object, ObjectKey, Route, RouteKind, Settings, Status, Translator, Update, UpstreamStatus};

fn set_upstream(translator: &mut Translator, spec: Value) {
    let object =
        json!({ "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "u", "namespace": "ns" }, "spec": spec });
    translator.set_inline(Kind::Upstream, &key(), InlineCredentials::of(&object));
    translator.set(Object::Upstream(Arc::new(serde_json::from_value(object).unwrap())));
}

fn key() -> ObjectKey {
    ObjectKey::new("ns", "u")
}

fn translator() -> Translator {
    Translator::new(Settings { implied_class: Some("keyward".to_owned()), ..Settings::default() })
}

fn upstream_status(update: &Update) -> Option<&UpstreamStatus> {
    update.statuses.iter().find_map(|(_, _, status)| match status {
        Some(Status::Upstream(status)) => Some(status),
        _ => None,
    })
}

fn condition_types(status: &UpstreamStatus) -> Vec<&str> {
    status.conditions.iter().map(|condition| condition.type_.as_str()).collect()
}

#[test]
fn says_nothing_of_gloos_other_types() {
    for spec in [
        json!({ "static": { "hosts": [{ "addr": "a.example.com", "port": 443 }] } }),
        json!({ "kube": { "serviceName": "a", "serviceNamespace": "b", "servicePort": 80 }, "sslConfig": {} }),
        json!({ "aws": {} }),
        json!({ "notKnownYet": {} }),
        json!({ "sslConfig": {} }),
        json!({ "static": {}, "openai": {} }),
    ] {
        let mut translator = translator();
        set_upstream(&mut translator, spec.clone());
        let update = translator.translate();
        assert!(update.statuses.is_empty() && update.problems.is_empty(), "{spec}: {:?} {:?}", update.statuses, update.problems);
    }
}

#[test]
fn an_ai_upstream_that_is_written_wrongly_says_so() {
    for (spec, remedy) in [
        (json!({}), "name an AI provider there"),
        (json!({ "openai": { "authToken": { "passthrough": {} } } }), "move openai from spec to spec.ai"),
        (json!({ "azureOpenai": {}, "sslConfig": {} }), "move azureOpenai from spec to spec.ai"),
    ] {
        let mut translator = translator();
        set_upstream(&mut translator, spec);
        let update = translator.translate();
        let [accepted] = upstream_status(&update).unwrap().conditions.as_slice() else { panic!("{:?}", update.statuses) };
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "InvalidUpstream"));
        assert!(accepted.message.contains(remedy), "{}", accepted.message);
        assert!(update.problems.values().flatten().any(|problem| problem.message.contains(remedy)), "{:?}", update.problems);
    }
}

#[test]
fn a_route_that_leads_to_one_says_that_it_is_not_served() {
    let mut translator = translator();
    let listeners = json!([{ "name": "http", "port": 80, "protocol": "HTTP" }]);
    let gateway =
        json!({ "metadata": { "name": "gw", "namespace": "ns" }, "spec": { "gatewayClassName": "keyward", "listeners": listeners } });
    translator.set(Object::Gateway(Arc::new(serde_json::from_value(gateway).unwrap())));
    let rules = json!([{ "backendRefs": [{ "group": "gloo.solo.io", "kind": "Upstream", "name": "u" }] }]);
    let route = json!({ "metadata": { "name": "r", "namespace": "ns" }, "spec": { "parentRefs": [{ "name": "gw" }], "rules": rules } });
    translator.set(Object::Route(Arc::new(Route::read(RouteKind::Http, route).unwrap())));
    set_upstream(&mut translator, json!({ "static": {} }));
    let update = translator.translate();
    assert!(upstream_status(&update).is_none());
    let problems: Vec<_> = update.problems.values().flatten().collect();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.kind.as_str(), problem.condition.as_str()), ("HTTPRoute", "ResolvedRefs"));
    assert!(problem.reason == "UnsupportedUpstreamType" && problem.message.contains("Upstream ns/u"), "{problem:?}");
}

#[test]
fn a_credential_in_one_is_told_of_and_nothing_else() {
    let mut translator = translator();
    let header = json!([{ "key": "authorization", "value": "sk-canary" }]);
    set_upstream(&mut translator, json!({ "static": {}, "httpConnectHeaders": header }));
    let update = translator.translate();
    let status = upstream_status(&update).unwrap();
    assert_eq!((condition_types(status), &status.gloo), (vec!["InlineCredentials"], &None));
    let problems: Vec<_> = update.problems.values().flatten().map(|problem| problem.condition.as_str()).collect();
    assert_eq!(problems, ["InlineCredentials"]);
}

#[test]
fn takes_back_what_it_said_of_one_that_was_ours() {
    let mut translator = translator();
    set_upstream(&mut translator, json!({ "ai": { "openai": { "authToken": { "passthrough": {} } } } }));
    assert!(upstream_status(&translator.translate()).is_some_and(|status| status.gloo.is_some()));
    set_upstream(&mut translator, json!({ "static": {} }));
    let update = translator.translate();
    let status = upstream_status(&update).unwrap();
    assert!(status.conditions.is_empty() && status.gloo.is_none(), "{status:?}");
    set_upstream(&mut translator, json!({ "static": {}, "sslConfig": {} }));
    assert!(translator.translate().statuses.is_empty(), "it was taken back already");
}

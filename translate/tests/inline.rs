//! Credentials that stand in manifests: what is said of them, and that it follows the object and the labels of its namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use crds::credentials::Level;
use serde_json::{Value, json};
use translate::{InlineCount, InlineCredentials, Kind, Object, ObjectKey, Route, RouteKind, Settings, Status, Translator, Update};

fn upstream(token: Value) -> Value {
    json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai", "namespace": "team", "generation": 1 },
        "spec": { "ai": { "openai": { "authToken": token } } },
    })
}

fn set(translator: &mut Translator, object: &Value) {
    let key = ObjectKey::new("team", "openai");
    translator.set_inline(Kind::Upstream, &key, InlineCredentials::of(object));
    translator.set(Object::Upstream(Arc::new(serde_json::from_value(object.clone()).unwrap())));
}

fn label(translator: &mut Translator, level: &str) {
    let labels = json!({ "credentials.keyward.dev/enforce": level, "credentials.keyward.dev/audit": level });
    let namespace = json!({ "metadata": { "name": "team", "labels": labels } });
    translator.set(Object::Namespace(Arc::new(serde_json::from_value(namespace).unwrap())));
}

/// The message of the condition, if there is one.
fn said(update: &Update) -> Option<String> {
    let conditions = update.statuses.iter().filter_map(|(_, _, status)| match status {
        Some(Status::Upstream(status)) => Some(&status.conditions),
        _ => None,
    });
    let found = conditions.flatten().find(|condition| condition.type_ == "InlineCredentials")?;
    assert_eq!((found.status.as_str(), found.reason.as_str()), ("True", "InlineToken"));
    Some(found.message.clone())
}

fn count(update: &Update) -> Option<Option<InlineCount>> {
    update.inline.get(&("team".to_owned(), Kind::Upstream)).copied()
}

#[test]
fn is_told_of_with_the_level_of_its_namespace_until_it_is_gone() {
    let mut translator = Translator::new(Settings::default());
    set(&mut translator, &upstream(json!({ "inline": "sk-canary" })));
    let update = translator.translate();
    let message = said(&update).unwrap();
    assert!(message.starts_with("spec.ai.openai.authToken.inline: ") && message.contains("allows it"), "{message}");
    assert_eq!(count(&update), Some(Some(InlineCount { level: Level::Open, count: 1 })));
    let problems: Vec<_> = update.problems.values().flatten().map(|problem| problem.reason.as_str()).collect();
    assert_eq!(problems, ["InlineToken"]);
    assert!(!format!("{:?} {:?}", update.statuses, update.problems).contains("canary"));

    label(&mut translator, "protected");
    let update = translator.translate();
    assert!(said(&update).unwrap().contains("would refuse it"), "{:?}", update.statuses);
    assert_eq!(count(&update), Some(Some(InlineCount { level: Level::Protected, count: 1 })));

    label(&mut translator, "open");
    let update = translator.translate();
    assert!(said(&update).is_none() && update.statuses.len() == 1, "nobody wants to be told: {:?}", update.statuses);
    assert_eq!(count(&update), Some(Some(InlineCount { level: Level::Open, count: 1 })), "it is counted all the same");

    set(&mut translator, &upstream(json!({ "secretRef": { "name": "s" } })));
    let update = translator.translate();
    assert_eq!((said(&update), count(&update)), (None, Some(None)));
}

#[test]
fn a_copy_alone_is_told_of() {
    let mut translator = Translator::new(Settings::default());
    let mut object = upstream(json!({ "secretRef": { "name": "s" } }));
    let copy = upstream(json!({ "inline": "sk-canary" })).to_string();
    object["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": copy });
    set(&mut translator, &object);
    let message = said(&translator.translate()).unwrap();
    assert!(message.starts_with("metadata.annotations[kubectl.kubernetes.io/last-applied-configuration].spec"), "{message}");
}

const KINDS: [RouteKind; 2] = [RouteKind::Http, RouteKind::Grpc];

/// A translator that knows one Gateway, `gw`.
fn with_gateway() -> Translator {
    let mut translator = Translator::new(Settings { implied_class: Some("keyward".to_owned()), ..Settings::default() });
    let listeners = json!([{ "name": "http", "port": 80, "protocol": "HTTP" }]);
    let gateway =
        json!({ "metadata": { "name": "gw", "namespace": "team" }, "spec": { "gatewayClassName": "keyward", "listeners": listeners } });
    translator.set(Object::Gateway(Arc::new(serde_json::from_value(gateway).unwrap())));
    translator
}

/// A route of that name on the Gateway of that name, which adds this header.
fn set_route(translator: &mut Translator, kind: RouteKind, [name, gateway]: [&str; 2], header: Value) {
    let filters = json!([{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "add": [header] } }]);
    let object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind.as_str(), "metadata": { "name": name, "namespace": "team" },
        "spec": { "parentRefs": [{ "name": gateway }], "rules": [{ "filters": filters }] },
    });
    translator.set_inline(Kind::Route(kind), &ObjectKey::new("team", name), InlineCredentials::of(&object));
    translator.set(Object::Route(Arc::new(Route::read(kind, object).unwrap())));
}

/// What becomes an Event about inline credentials: kind, name and field of the object, reason and message.
fn told(update: &Update) -> Vec<[&str; 5]> {
    let problems = update.problems.values().flatten().filter(|problem| problem.condition == "InlineCredentials");
    problems.map(|one| [one.kind.as_str(), one.name.as_str(), one.field.as_str(), one.reason.as_str(), one.message.as_str()]).collect()
}

fn count_of(update: &Update, kind: RouteKind) -> Option<Option<InlineCount>> {
    update.inline.get(&("team".to_owned(), Kind::Route(kind))).copied()
}

#[test]
fn a_route_is_counted_wherever_it_is_and_told_of_on_a_gateway_of_ours() {
    for kind in KINDS {
        let mut translator = with_gateway();
        set_route(&mut translator, kind, ["ours", "gw"], json!({ "name": "Authorization", "value": "Bearer sk-canary" }));
        set_route(&mut translator, kind, ["anothers", "elsewhere"], json!({ "name": "x-api-key", "value": "canary" }));
        for (level, words) in [(Level::Open, "allows it"), (Level::Protected, "would refuse it"), (Level::Restricted, "would refuse it")] {
            if level != Level::Open {
                label(&mut translator, level.as_str());
            }
            let update = translator.translate();
            let [[of, name, field, reason, message]] = told(&update)[..] else { panic!("{kind:?} {level}: {:?}", update.problems) };
            assert_eq!((of, name, reason), (kind.as_str(), "ours", "CredentialHeader"));
            assert_eq!(field, "spec.rules[0].filters[0].requestHeaderModifier.add[0].value");
            assert!(message.contains(words), "{message}");
            assert_eq!(count_of(&update, kind), Some(Some(InlineCount { level, count: 2 })));
            assert!(!format!("{:?} {:?}", update.statuses, update.problems).contains("canary"));
        }
        label(&mut translator, "open");
        let update = translator.translate();
        assert!(told(&update).is_empty() && update.problems.contains_key(&(Kind::Route(kind), ObjectKey::new("team", "ours"))));
        assert_eq!(count_of(&update, kind), Some(Some(InlineCount { level: Level::Open, count: 2 })), "it is counted all the same");
    }
}

#[test]
fn a_route_that_is_free_of_it_or_gone_is_counted_no_more() {
    for kind in KINDS {
        let mut translator = with_gateway();
        let credential = json!({ "name": "api-key", "value": "canary" });
        for name in ["mended", "gone"] {
            set_route(&mut translator, kind, [name, "gw"], credential.clone());
        }
        assert_eq!(told(&translator.translate()).len(), 2);
        set_route(&mut translator, kind, ["mended", "gw"], json!({ "name": "x-team", "value": "a" }));
        let update = translator.translate();
        assert!(told(&update).is_empty(), "{:?}", update.problems);
        assert_eq!(count_of(&update, kind), Some(Some(InlineCount { level: Level::Open, count: 1 })));
        let key = ObjectKey::new("team", "gone");
        translator.remove(Kind::Route(kind), &key);
        translator.set_inline(Kind::Route(kind), &key, InlineCredentials::default());
        assert_eq!(count_of(&translator.translate(), kind), Some(None));
    }
}

//! Credentials that stand in manifests: what is said of them, and that it follows the object and the labels of its namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use crds::credentials::Level;
use serde_json::{Value, json};
use translate::{InlineCount, InlineCredentials, Kind, Object, ObjectKey, Settings, Status, Translator, Update};

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

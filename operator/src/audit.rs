//! The audit of what is there already: an object as the API server has it, before what nothing else reads is dropped. It keeps no value.

use crds::credentials::LAST_APPLIED;
use serde_json::{Map, Value, json};
use translate::{InlineCredentials, Kind};

use crate::manifest::Manifest;
use crate::reading::resource;

/// What stands in an object of a kind that is audited. The spec is lent and not copied.
pub(crate) fn inline_credentials(kind: Kind, manifest: &mut Manifest) -> Option<InlineCredentials> {
    if !InlineCredentials::may_be_in(kind) {
        return None;
    }
    let resource = resource(kind);
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::String(resource.api_version));
    object.insert("kind".to_owned(), Value::String(resource.kind));
    object.insert("metadata".to_owned(), metadata(manifest));
    object.extend(manifest.rest.remove_entry("spec"));
    let mut object = Value::Object(object);
    let found = InlineCredentials::of(&object);
    if let Some(spec) = object.get_mut("spec").map(Value::take) {
        manifest.rest.insert("spec".to_owned(), spec);
    }
    Some(found)
}

/// As much of it as matters.
fn metadata(manifest: &Manifest) -> Value {
    let copy = manifest.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LAST_APPLIED));
    json!({ "namespace": manifest.metadata.namespace, "annotations": copy.map(|copy| json!({ LAST_APPLIED: copy })) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crds::credentials::{self, ENFORCE, Level};
    use serde::Deserialize;
    use translate::{InlineCount, Object, Problem, RouteKind, Settings, Translator, Update};

    use crate::reading;

    /// Of the one table of cases, what is the same for everybody. What was there before is not among it: the audit tells of what is there.
    #[derive(Deserialize)]
    struct Case {
        name: String,
        level: String,
        object: Value,
        old: Option<Value>,
        allowed: bool,
        fields: Vec<String>,
    }

    /// `None` for kinds that are judged by nobody.
    fn kind(object: &Value) -> Option<Kind> {
        credentials::Kind::of_object(object)?;
        match object["kind"].as_str()? {
            "Upstream" => Some(Kind::Upstream),
            route => RouteKind::named(route).map(Kind::Route),
        }
    }

    /// What the audit says of one object.
    struct Audited {
        count: Option<InlineCount>,
        /// Everything that goes out, for whoever looks for a token in it.
        said: String,
        problem: Option<Problem>,
        /// What cannot be read as its type is only counted.
        is_read: bool,
    }

    /// In a namespace that enforces this level.
    fn audited(kind: Kind, object: &Value, level: Level) -> Audited {
        let mut translator = Translator::new(Settings::default());
        let mut manifest: Manifest = serde_json::from_value(object.clone()).unwrap();
        let name = manifest.metadata.namespace.get_or_insert_with(|| "team".to_owned()).clone();
        let namespace = json!({ "metadata": { "name": name, "labels": { ENFORCE: level.as_str() } } });
        translator.set(Object::Namespace(Arc::new(serde_json::from_value(namespace).unwrap())));
        let key = reading::key(kind, &manifest);
        let found = inline_credentials(kind, &mut manifest).unwrap();
        translator.set_inline(kind, &key, found);
        let read = reading::read(kind, manifest);
        let is_read = read.is_ok();
        if let Ok(object) = read {
            translator.set(object);
        }
        let Update { inline, problems, statuses, .. } = translator.translate();
        let said = format!("{inline:?} {problems:?} {statuses:?}");
        let problem = problems.into_values().flatten().find(|problem| problem.condition == "InlineCredentials");
        Audited { count: inline.get(&(name, kind)).copied().flatten(), said, problem, is_read }
    }

    /// Where the credentials of an object are. What cannot be meant, and what only restricted namespaces forbid, is no credential in a
    /// manifest: the audit has no word for it.
    fn exposed(object: &Value) -> Vec<String> {
        let found = credentials::inline_credentials(object).into_iter().filter(|violation| violation.reason.exposes());
        found.map(|violation| violation.field.to_string()).collect()
    }

    /// What is wrong with what the audit says of a case.
    fn disagreement(case: &Case, kind: Kind) -> Option<&'static str> {
        let level: Level = case.level.parse().unwrap();
        let Audited { count, said, problem, is_read } = audited(kind, &case.object, level);
        let exposed = exposed(&case.object);
        let refused = count.filter(|count| count.level > Level::Open).map_or(0, |count| count.count);
        let expected = case.fields.iter().filter(|&field| exposed.contains(field)).count();
        // The table gives a verdict on all fields together; an update's is about what it changes.
        let has_verdict = case.old.is_none() && expected == case.fields.len();
        let is_told = problem.as_ref().map(|problem| &problem.field) == exposed.first();
        let words = if level > Level::Open { "would refuse it" } else { "allows it" };
        let wrong = [
            (refused != expected, "it counts other fields as refused"),
            (has_verdict && (refused == 0) != case.allowed, "the verdict is another"),
            (count.map_or(0, |count| count.count) != exposed.len(), "it counts other fields"),
            (count.is_some_and(|count| count.level != level), "the level is another"),
            // A route is told of only on a Gateway of ours.
            (kind == Kind::Upstream && is_read && !is_told, "it tells of another field"),
            (problem.is_some_and(|problem| !problem.message.contains(words)), "it says other words"),
            (said.contains("canary"), "a token is in what it says"),
        ];
        wrong.into_iter().find_map(|(is_wrong, what)| is_wrong.then_some(what))
    }

    #[test]
    fn says_of_what_is_there_what_admission_says_of_what_comes() {
        let cases: Vec<Case> = serde_saphyr::from_str(include_str!("../../crds/tests/credentials.yaml")).unwrap();
        let (mut exposing, mut failed) = (Vec::new(), Vec::new());
        for case in &cases {
            let Some(kind) = kind(&case.object) else { continue };
            failed.extend(disagreement(case, kind).map(|what| format!("{}: {what}", case.name)));
            exposing.extend((!exposed(&case.object).is_empty()).then_some(kind));
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        for kind in [Kind::Upstream, Kind::Route(RouteKind::Http), Kind::Route(RouteKind::Grpc)] {
            assert!(exposing.contains(&kind), "no case has a credential in {kind:?}");
        }
    }

    #[test]
    fn looks_at_the_copy_and_gives_the_spec_back() {
        let spec = json!({ "ai": { "openai": { "authToken": { "inline": "canary" } } } });
        let copy = json!({ "spec": spec }).to_string();
        let object = json!({ "metadata": { "name": "u", "annotations": { LAST_APPLIED: copy } }, "spec": spec });
        let mut manifest: Manifest = serde_json::from_value(object).unwrap();
        let found = inline_credentials(Kind::Upstream, &mut manifest).unwrap();
        assert_eq!((found.count(), manifest.rest.get("spec")), (2, Some(&spec)));
        assert!(!format!("{found:?}").contains("canary"));
        assert_eq!(inline_credentials(Kind::Secret, &mut manifest), None);
    }
}

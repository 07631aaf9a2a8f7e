//! The way out: which Secrets the inline tokens of an Upstream belong into, and the one patch that makes the Upstream refer to all of them.
//! [`moved`] holds tokens, because it makes the Secrets; nothing else here does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::path::{FieldPath, Step};
use super::{LAST_APPLIED, Violation, inline_credentials};

/// How to take one credential out of an Upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// `authToken` or `credentialProvider` of the provider.
    pub place: FieldPath,
    /// A name for the Secret.
    pub secret: String,
    /// What the Secret holds.
    pub holds: Holds,
}

/// What a Secret for a provider holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// One token under the key `Authorization`.
    Token,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN`.
    AwsKeys,
}

/// The longest name of a Secret.
const LONGEST_NAME: usize = 253;

impl Remedy {
    /// What these violations need, each Secret once: keys of one provider go into one.
    pub fn all<'v>(violations: impl IntoIterator<Item = &'v Violation>, upstream: &str) -> Vec<Self> {
        let mut names = BTreeSet::new();
        let remedies = violations.into_iter().filter_map(|violation| Self::of(violation, upstream));
        remedies.filter(|remedy| names.insert(remedy.secret.clone())).collect()
    }

    /// For a violation in the credential of a provider that we know; the last-applied copy has none of its own, for it follows the object.
    pub fn of(violation: &Violation, upstream: &str) -> Option<Self> {
        let steps = violation.field.steps();
        let credential = |step: &Step| matches!(step, Step::Field("authToken" | "credentialProvider"));
        let at = steps.iter().position(credential).filter(|_| !violation.copy)?;
        let (place, provider) = (steps.get(..=at)?, steps.get(at.checked_sub(1)?)?);
        let Step::Field(provider) = provider else { return None };
        let indexes = place.iter().filter_map(|step| match step {
            Step::Index(index) => Some(format!("-{index}")),
            Step::Field(_) | Step::Key(_) => None,
        });
        // One directly under `spec` may stand beside its namesake.
        let parent = if steps.get(1) == Some(&Step::Field("ai")) { "" } else { "-spec" };
        let suffix = format!("{parent}-{}{}", provider.to_ascii_lowercase(), indexes.collect::<String>());
        let stem: String = upstream.chars().take(LONGEST_NAME.saturating_sub(suffix.len())).collect();
        let holds = if matches!(place.last(), Some(Step::Field("authToken"))) { Holds::Token } else { Holds::AwsKeys };
        (*provider != "*").then(|| Self { place: FieldPath(place.to_vec()), secret: format!("{stem}{suffix}"), holds })
    }

    fn reference(&self) -> Value {
        json!({ "secretRef": { "name": self.secret } })
    }
}

/// One JSON patch (RFC 6902) for all. "If the target location specifies an object member that does exist, that member's value is replaced":
/// it suits an object that has the inline tokens and one that refers to Secrets already. A misplaced provider moves where it is read.
pub fn patch(remedies: &[Remedy], upstream: &Value) -> Value {
    let add = |path: String, value: Value| json!({ "op": "add", "path": path, "value": value });
    let mut operations: Vec<Value> = remedies.iter().map(|remedy| add(remedy.place.pointer(), remedy.reference())).collect();
    if let Some(provider) = misplaced(remedies, upstream) {
        operations.push(add("/spec/ai".to_owned(), json!({})));
        operations.push(json!({ "from": format!("/spec/{provider}"), "op": "move", "path": format!("/spec/ai/{provider}") }));
    }
    Value::from(operations)
}

/// The provider that stands in `spec` itself and is to stand in `spec.ai`. None where that would make two of them, of which one alone can be
/// meant: what to do then is for whoever wrote it.
pub fn misplaced(remedies: &[Remedy], upstream: &Value) -> Option<&'static str> {
    let outside = remedies.iter().filter_map(|remedy| match remedy.place.steps() {
        [Step::Field("spec"), Step::Field(provider), ..] if *provider != "ai" => Some(*provider),
        _ => None,
    });
    let outside: BTreeSet<&'static str> = outside.collect();
    let free = upstream.pointer("/spec/ai").and_then(Value::as_object).is_none_or(Map::is_empty);
    outside.first().copied().filter(|_| free && outside.len() == 1)
}

/// Whether the specs of two Upstreams are equal but for these credentials.
pub fn are_all_that_differs(remedies: &[Remedy], old: &Value, new: &Value) -> bool {
    let places: Vec<&[Step]> = remedies.iter().map(|remedy| remedy.place.steps()).collect();
    let in_spec = below(&places, |step| *step == Step::Field("spec"));
    equal_but_for(&in_spec, old.get("spec"), new.get("spec"))
}

/// By looking, since copies of long objects would be as long.
fn equal_but_for(places: &[&[Step]], old: Option<&Value>, new: Option<&Value>) -> bool {
    if places.is_empty() {
        return old == new;
    }
    if places.iter().any(|place| place.is_empty()) {
        return true;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => old.keys().chain(new.keys()).all(|key| {
            let places = below(places, |step| matches!(step, Step::Field(name) if *name == key.as_str()));
            equal_but_for(&places, old.get(key), new.get(key))
        }),
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let of = |nth: usize| below(places, |step| *step == Step::Index(nth));
            old.len() == new.len() && old.iter().zip(new).enumerate().all(|(nth, (old, new))| equal_but_for(&of(nth), Some(old), Some(new)))
        }
        _ => old == new,
    }
}

fn below<'p>(places: &[&'p [Step]], is_next: impl Fn(&Step) -> bool) -> Vec<&'p [Step]> {
    places.iter().filter_map(|place| place.split_first().filter(|(step, _)| is_next(step)).map(|(_, rest)| rest)).collect()
}

/// An Upstream without inline tokens, and the Secrets that have them. Not printable: these are the tokens.
pub struct Moved {
    /// The Upstream, referring to the Secrets, without its last-applied copy.
    pub upstream: Value,
    /// The Secrets.
    pub secrets: Vec<Value>,
}

/// Moves the inline tokens of an Upstream into Secrets beside it. `None` when it has none that could be moved.
pub fn moved(upstream: &Value) -> Option<Moved> {
    let metadata = upstream.get("metadata")?;
    let name = metadata.get("name").and_then(Value::as_str)?;
    let namespace = metadata.get("namespace").and_then(Value::as_str);
    let found = inline_credentials(upstream);
    let (mut result, mut secrets, mut done) = (upstream.clone(), Vec::new(), Vec::new());
    for remedy in Remedy::all(found.iter().filter(|one| one.reason.exposes()), name) {
        let pointer = remedy.place.pointer();
        let texts = upstream.pointer(&pointer).and_then(|source| texts(remedy.holds, source.get("inline")?));
        let (Some(place), Some(texts)) = (result.pointer_mut(&pointer), texts) else { continue };
        *place = remedy.reference();
        secrets.push(secret(&remedy.secret, namespace, &texts));
        done.push(remedy);
    }
    if let Some(provider) = misplaced(&done, upstream) {
        move_into_ai(&mut result, provider);
    }
    if let Some(annotations) = result.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    (!secrets.is_empty()).then_some(Moved { upstream: result, secrets })
}

fn move_into_ai(upstream: &mut Value, provider: &'static str) {
    let Some(spec) = upstream.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(moved) = spec.remove(provider) {
        spec.insert("ai".to_owned(), json!({ provider: moved }));
    }
}

/// What goes into the Secret. AWS's own names of the keys, as its tools and Gloo's documentation have them.
fn texts(holds: Holds, inline: &Value) -> Option<BTreeMap<&'static str, String>> {
    let keys: [(&str, &'static str); 3] = match holds {
        Holds::Token => return Some(BTreeMap::from([("Authorization", inline.as_str()?.to_owned())])),
        Holds::AwsKeys => {
            [("accessKeyId", "AWS_ACCESS_KEY_ID"), ("secretAccessKey", "AWS_SECRET_ACCESS_KEY"), ("sessionToken", "AWS_SESSION_TOKEN")]
        }
    };
    // All of them or none: what is no text would be lost.
    let texts = keys.into_iter().filter_map(|(field, key)| Some((key, inline.get(field)?)));
    let texts: Option<BTreeMap<&'static str, String>> = texts.map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
    texts.filter(|texts| !texts.is_empty())
}

fn secret(name: &str, namespace: Option<&str>, texts: &BTreeMap<&'static str, String>) -> Value {
    let mut metadata = json!({ "name": name });
    if let (Some(metadata), Some(namespace)) = (metadata.as_object_mut(), namespace) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": texts })
}

#[cfg(test)]
mod tests {
    use super::super::{Fingerprint, Reason};
    use super::*;

    /// An inline token of `openai`, in `spec.ai` and beside it.
    fn violations() -> [Violation; 2] {
        [&["spec", "ai"][..], &["spec"]].map(|way| {
            let steps = way.iter().chain(&["openai", "authToken", "inline"]).map(|field| Step::Field(field)).collect();
            Violation { field: FieldPath(steps), reason: Reason::InlineToken, value: Fingerprint::of("canary"), copy: false }
        })
    }

    #[test]
    fn each_place_has_a_secret_of_its_own_and_only_one() {
        let [right, wrong] = violations();
        let remedies = Remedy::all([&right, &right, &wrong], "u");
        let names: Vec<&str> = remedies.iter().map(|remedy| remedy.secret.as_str()).collect();
        assert_eq!(names, ["u-openai", "u-spec-openai"]);
    }

    #[test]
    fn a_misplaced_provider_moves_where_it_is_read_unless_there_is_one_already() {
        let [_, wrong] = violations();
        let remedies = Remedy::all([&wrong], "u");
        let add = json!({ "op": "add", "path": "/spec/openai/authToken", "value": { "secretRef": { "name": "u-spec-openai" } } });
        let make = json!({ "op": "add", "path": "/spec/ai", "value": {} });
        let relocate = json!({ "op": "move", "from": "/spec/openai", "path": "/spec/ai/openai" });
        let openai = json!({ "authToken": { "inline": "canary" } });
        for (spec, expected) in [
            (json!({ "openai": openai }), json!([add, make, relocate])),
            (json!({ "openai": openai, "ai": {} }), json!([add, make, relocate])),
            (json!({ "openai": openai, "ai": { "openai": {} } }), json!([add])),
            (json!({ "openai": openai, "ai": { "mistral": {} } }), json!([add])),
        ] {
            assert_eq!(patch(&remedies, &json!({ "spec": spec })), expected, "{spec}");
        }
        let mut upstream = json!({ "spec": { "openai": { "model": "m" }, "healthChecks": [] } });
        move_into_ai(&mut upstream, "openai");
        assert_eq!(upstream, json!({ "spec": { "ai": { "openai": { "model": "m" } }, "healthChecks": [] } }));
    }
}

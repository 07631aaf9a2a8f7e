//! The way out: which Secret an inline token of an Upstream belongs into, and the patch that makes the Upstream refer to it.
//! [`moved`] holds tokens, because it makes the Secrets; nothing else here does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

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

    /// A JSON patch (RFC 6902). "If the target location specifies an object member that does exist, that member's value is replaced": it
    /// suits an object that has the inline token and one that refers to a Secret already.
    pub fn patch(&self) -> Value {
        json!([{ "op": "add", "path": self.place.pointer(), "value": self.reference() }])
    }

    fn reference(&self) -> Value {
        json!({ "secretRef": { "name": self.secret } })
    }
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
    let (mut result, mut secrets, mut done) = (upstream.clone(), Vec::new(), BTreeSet::new());
    for remedy in inline_credentials(upstream).iter().filter(|one| one.reason.exposes()).filter_map(|one| Remedy::of(one, name)) {
        let pointer = remedy.place.pointer();
        let texts = upstream.pointer(&pointer).and_then(|source| texts(remedy.holds, source.get("inline")?));
        let (Some(place), Some(texts)) = (result.pointer_mut(&pointer), texts) else { continue };
        if done.insert(pointer) {
            *place = remedy.reference();
            secrets.push(secret(&remedy.secret, namespace, &texts));
        }
    }
    if let Some(annotations) = result.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    (!secrets.is_empty()).then_some(Moved { upstream: result, secrets })
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

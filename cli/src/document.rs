//! One YAML document to its typed objects. Errors say where and what, and never quote the document: it may hold a credential.

use std::fmt;
use std::sync::Arc;

use crds::credentials::Step;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Deserializer, Track};
use translate::{ObjectKey, Route, RouteKind, Snapshot};

/// Why a document is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Path in the document, if the mistake is in one place.
    pub(crate) field: String,
    /// What is wrong, and how to put it right.
    pub(crate) message: String,
    /// Kind and name of the object, if it says so much.
    pub(crate) object: Option<(String, ObjectKey)>,
}

/// An object of a kind that is understood. A List has several.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) key: ObjectKey,
    pub(crate) value: Value,
}

/// Without the manifest, which may hold a credential.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind).field("key", &self.key).finish_non_exhaustive()
    }
}

/// An object as it is written, and the way to it from the top of its document. Not printable: it may hold a credential.
pub(crate) struct Item {
    pub(crate) way: Vec<Step>,
    pub(crate) value: Value,
}

/// A document's text as YAML; `None`: nothing but comments.
pub(crate) fn parse(text: &str) -> Result<Option<Value>, Mistake> {
    let blank = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return Ok(None);
    }
    serde_saphyr::from_str_with_options::<Value>(text, options()).map(Some).map_err(|error| {
        let place = error.location().map(|at| format!(" at line {} of the document, column {}", at.line(), at.column()));
        let message = format!("not valid YAML{}: check indentation, brackets and quotes there", place.unwrap_or_default());
        mistake("", &message)
    })
}

/// How YAML is read here.
pub(crate) fn options() -> serde_saphyr::Options {
    // YAML 1.2's booleans: with 1.1's, a Namespace could not be called "n".
    serde_saphyr::options! { strict_booleans: true, with_snippet: false }
}

/// The objects of a document: itself, or the items of the list that it is. Whatever has items is a list to kubectl, also under another
/// name than `List` or `UpstreamList` (apimachinery, `unstructuredJSONScheme`); under such a name it is an object all the same.
pub(crate) fn items(document: Value) -> Vec<Item> {
    let mut found = Vec::new();
    take_apart(Vec::new(), document, &mut found);
    found
}

fn take_apart(way: Vec<Step>, mut value: Value, found: &mut Vec<Item>) {
    let Some(Value::Array(items)) = value.get_mut("items").filter(|items| items.is_array()).map(Value::take) else {
        found.push(Item { way, value });
        return;
    };
    for (nth, mut item) in items.into_iter().enumerate() {
        inherit(&mut item, &value);
        take_apart([way.as_slice(), &[Step::Field("items"), Step::Index(nth)]].concat(), item, found);
    }
    if !text(&value, "kind").ends_with("List") {
        found.push(Item { way, value });
    }
}

/// "For typed lists, e.g., a PodList, API server doesn't set each item's APIVersion and Kind" (the same): they are the list's.
fn inherit(item: &mut Value, list: &Value) {
    let kind = text(list, "kind");
    let kind = kind.strip_suffix("List").unwrap_or(kind);
    for (field, inherited) in [("apiVersion", text(list, "apiVersion")), ("kind", kind)] {
        if text(item, field).is_empty() && !inherited.is_empty() {
            set(item, field, inherited);
        }
    }
}

fn set(object: &mut Value, field: &str, text: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), Value::from(text));
    }
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The objects of a document, each checked against its type.
pub(crate) fn objects(document: Value) -> Vec<Result<Object, Mistake>> {
    items(document).into_iter().map(|item| object(item.value)).collect()
}

fn object(value: Value) -> Result<Object, Mistake> {
    let kind = match value.get("kind").and_then(Value::as_str) {
        Some("List") => return Err(mistake("items", "a List has a list of objects under 'items'")),
        Some(kind) => kind.to_owned(),
        None => return Err(mistake("kind", "every document names its 'apiVersion' and 'kind'")),
    };
    let metadata: ObjectMeta = typed(value.get("metadata").cloned().unwrap_or_default()).map_err(|e| at("metadata", e))?;
    if metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err(mistake("metadata.name", "every object has a name"));
    }
    let object = Object { kind, key: ObjectKey::of(&metadata), value };
    // A dry run into an empty snapshot: the object must be understood before anything is served by it.
    match object.add_to(&mut Snapshot::default()) {
        Ok(()) => Ok(object),
        Err(mistake) => Err(Mistake { object: Some((object.kind, object.key)), ..mistake }),
    }
}

impl Object {
    /// Reads the object as its type and puts it where it belongs.
    pub(crate) fn add_to(&self, into: &mut Snapshot) -> Result<(), Mistake> {
        let version = self.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let value = || self.value.clone();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        if let Some(kind) = RouteKind::named(&self.kind).filter(|_| group == "gateway.networking.k8s.io") {
            return push(&mut into.routes, tracked(without_nulls(value()), |json| Route::read(kind, json)));
        }
        match (group, self.kind.as_str()) {
            ("gateway.networking.k8s.io", "GatewayClass") => push(&mut into.gateway_classes, typed(value())),
            ("gateway.networking.k8s.io", "Gateway") => push(&mut into.gateways, with_listeners(value())),
            ("gateway.networking.k8s.io", "ListenerSet") => push(&mut into.listener_sets, with_listeners(value())),
            ("gateway.networking.k8s.io", "ReferenceGrant") => push(&mut into.reference_grants, typed(value())),
            ("gateway.networking.k8s.io", "BackendTLSPolicy") => push(&mut into.backend_tls_policies, typed(without_nulls(value()))),
            ("gloo.solo.io", "Upstream") => push(&mut into.upstreams, typed(value())),
            ("discovery.k8s.io", "EndpointSlice") => push(&mut into.endpoint_slices, typed(value())),
            ("", "Namespace") => push(&mut into.namespaces, typed(value())),
            ("", "Service") => push(&mut into.services, typed(value())),
            ("", "Secret") => push(&mut into.secrets, secret(value())),
            ("", "ConfigMap") => push(&mut into.config_maps, typed(value())),
            _ => Err(mistake(
                "kind",
                &format!(
                    "{} of {version:?} is not understood here and is left out; understood are GatewayClass, Gateway, ListenerSet, \
                     HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute, ReferenceGrant, BackendTLSPolicy, Upstream, Namespace, Secret, \
                     ConfigMap, Service and EndpointSlice",
                    self.kind
                ),
            )),
        }
    }
}

fn push<T>(list: &mut Vec<Arc<T>>, read: Result<T, Mistake>) -> Result<(), Mistake> {
    list.push(Arc::new(read?));
    Ok(())
}

/// The type knows no filters of listeners and would drop them. One may be there to keep requests out, so nothing is served without it.
fn with_listeners<T: DeserializeOwned>(value: Value) -> Result<T, Mistake> {
    let mut listeners = value.pointer("/spec/listeners").and_then(Value::as_array).into_iter().flatten();
    match listeners.position(|listener| listener.get("filters").is_some()) {
        Some(nth) => Err(mistake(
            &format!("spec.listeners[{nth}].filters"),
            "listener filters are not served yet: remove them; until then the whole object is left out",
        )),
        None => typed(value),
    }
}

/// "Nulls for fields that … don't have the nullable flag … will be pruned before defaulting happens" (CustomResourceDefinitions,
/// "Defaulting and Nullable"): as good as absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}

/// `stringData` goes over `data`, as the API server does it.
fn secret(value: Value) -> Result<Secret, Mistake> {
    let mut secret: Secret = typed(value)?;
    let texts = secret.string_data.take().unwrap_or_default();
    let bytes = texts.into_iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes())));
    secret.data.get_or_insert_default().extend(bytes);
    Ok(secret)
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Mistake> {
    tracked(value, |json| T::deserialize(json))
}

/// Reads, and keeps track of where.
fn tracked<T>(value: Value, read: impl FnOnce(Deserializer<'_, '_, Value>) -> Result<T, serde_json::Error>) -> Result<T, Mistake> {
    let mut track = Track::new();
    let read = read(Deserializer::new(value, &mut track));
    read.map_err(|error| {
        let field = match track.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        mistake(&field, &format!("{}; see the kind's reference for what stands there", without_values(&error.to_string())))
    })
}

/// serde quotes the value that it could not read; ours may be a token.
fn without_values(message: &str) -> String {
    let cut = |quote: char| message.split_once(quote).and_then(|(before, rest)| Some((before, rest.rsplit_once(quote)?.1)));
    match (message.starts_with("missing field") || message.starts_with("unknown field"), cut('"').or_else(|| cut('`'))) {
        (false, Some((before, after))) => format!("{before}…{after}"),
        _ => message.to_owned(),
    }
}

fn at(prefix: &str, mistake: Mistake) -> Mistake {
    let field = if mistake.field.is_empty() { prefix.to_owned() } else { format!("{prefix}.{}", mistake.field) };
    Mistake { field, ..mistake }
}

pub(crate) fn mistake(field: &str, message: &str) -> Mistake {
    Mistake { field: field.to_owned(), message: message.to_owned(), object: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(document: Value) -> Result<Object, Mistake> {
        objects(document).remove(0)
    }

    #[test]
    fn names_the_field_and_never_quotes_the_value() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"Authorization": "sk-canary!"}});
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"},
            "spec": {"gatewayClassName": "c", "listeners": [{"name": "a", "port": "sk-canary", "protocol": "HTTP"}]}});
        let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"},
            "spec": {"rules": [{"filters": "sk-canary"}]}});
        let mistakes = [(secret, "data.Authorization"), (gateway, "spec.listeners[0].port"), (route, "spec.rules[0].filters")];
        for (document, field) in mistakes {
            let mistake = only(document).unwrap_err();
            assert_eq!(mistake.field, field);
            assert!(!mistake.message.contains("canary"), "{mistake:?}");
        }
    }

    #[test]
    fn prints_no_manifest() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"Authorization": "sk-canary"}});
        let printed = format!("{:?}", only(secret).unwrap());
        assert!(printed.contains("Secret") && !printed.contains("canary"), "{printed}");
    }

    #[test]
    fn tells_where_yaml_breaks_without_showing_it() {
        let mistake = parse("a: 1\nb: [sk-canary\nc: }").unwrap_err();
        assert!(mistake.message.contains("line") && !mistake.message.contains("canary"), "{mistake:?}");
    }

    #[test]
    fn puts_string_data_over_data() {
        let document =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}, "stringData": {"a": "y"}});
        let mut snapshot = Snapshot::default();
        only(document).unwrap().add_to(&mut snapshot).unwrap();
        assert_eq!(snapshot.secrets[0].data.as_ref().unwrap()["a"].0, b"y");
    }

    #[test]
    fn reads_a_listener_set() {
        let set = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ListenerSet", "metadata": {"name": "s"},
            "spec": {"parentRef": {"name": "g"}, "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"}]}});
        let mut snapshot = Snapshot::default();
        only(set).unwrap().add_to(&mut snapshot).unwrap();
        assert_eq!(snapshot.listener_sets.len(), 1);
    }

    #[test]
    fn leaves_out_a_gateway_rather_than_the_filters_of_its_listeners() {
        let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "g"},
            "spec": {"gatewayClassName": "c", "listeners": [{"name": "a", "port": 80, "protocol": "HTTP"},
                {"name": "b", "port": 81, "protocol": "HTTP", "filters": []}]}});
        assert_eq!(only(gateway).unwrap_err().field, "spec.listeners[1].filters");
    }

    #[test]
    fn reads_a_route_with_a_filter_that_nobody_knows_and_with_nulls() {
        let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "r"},
            "spec": {"hostnames": null, "rules": [{"matches": null, "filters": [{"type": "Teleport"}]}]}});
        let mut snapshot = Snapshot::default();
        only(route).unwrap().add_to(&mut snapshot).unwrap();
        assert_eq!(snapshot.routes.len(), 1);
    }

    #[test]
    fn takes_a_list_apart_and_reports_each_mistake() {
        let list =
            json!({"kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}, {"kind": "X"}, {}]});
        let outcomes: Vec<_> = objects(list).into_iter().map(|outcome| outcome.is_ok()).collect();
        assert_eq!(outcomes, [true, false, false]);
        assert_eq!(only(json!({"kind": "List"})).unwrap_err().field, "items");
    }

    #[test]
    fn items_have_what_their_list_says_unless_they_say_it_themselves() {
        let own = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        let list = json!({"apiVersion": "gloo.solo.io/v1", "kind": "UpstreamList", "items": [
            {"metadata": {"name": "u"}},
            own,
            {"kind": "", "items": [{"kind": null, "spec": {}}]},
            "text",
        ]});
        let (index, field) = (Step::Index, Step::Field("items"));
        let upstream = |rest: Value| {
            let mut object = json!({"apiVersion": "gloo.solo.io/v1", "kind": "Upstream"});
            object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            object
        };
        let expected = [
            (vec![field, index(0)], upstream(json!({"metadata": {"name": "u"}}))),
            (vec![field, index(1)], own.clone()),
            (vec![field, index(2), field, index(0)], upstream(json!({"spec": {}}))),
            (vec![field, index(2)], upstream(json!({"items": null}))),
            (vec![field, index(3)], json!("text")),
        ];
        let found: Vec<_> = items(list).into_iter().map(|item| (item.way, item.value)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn only_an_array_of_items_makes_a_list() {
        for document in [json!({"kind": "AllowList", "items": {}}), json!({"kind": "UpstreamList"}), json!([{"items": []}]), json!(1)] {
            let found: Vec<_> = items(document.clone()).into_iter().map(|item| (item.way, item.value)).collect();
            assert_eq!(found, [(Vec::new(), document)]);
        }
        assert_eq!(items(json!({"kind": "UpstreamList", "items": []})).len(), 0);
    }
}

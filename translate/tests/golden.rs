//! Golden cases: manifests in, everything out as one snapshot; then the configuration goes over the wire and meets the file's requests,
//! so that a case says what a client gets. `golden/TOPIC.in.yaml` begins with a document of kind `Requests`; a document of kind
//! `Services` is short for Services with one ready endpoint each; all others are what a user would apply.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, request};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use policy::{Config, Decision, Head, ListenerTable, Permit, Protocol, Reply, Table, decide, normalize_host, pass, wire};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use translate::{
    ConfigChange, Kind, Object, ObjectKey, Problem, Route, RouteKind, Settings, Snapshot, Status, Timestamp, Translation, Translator,
    translate,
};

/// What a client sends and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Try {
    /// `namespace/name`; the only one, if absent.
    gateway: Option<String>,
    port: u16,
    /// Of the port; a flow of datagrams if it is UDP.
    #[serde(default = "tcp")]
    transport: String,
    #[serde(default = "get")]
    method: String,
    /// Or SNI; absent where there is none.
    #[serde(default)]
    host: String,
    /// With query.
    #[serde(default = "root")]
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    draw: u64,
    /// `forward BACKEND path=PATH`, `reply STATUS [location=URL]` or `refuse REASON STATUS`; of a connection or flow, `pass BACKEND` or
    /// `refuse REASON`.
    expect: String,
    /// Headers with which it goes to the backend.
    #[serde(default)]
    sent: BTreeMap<String, String>,
    /// Headers without which it goes there.
    #[serde(default)]
    absent: Vec<String>,
    /// Headers that the backend answers with.
    #[serde(default)]
    backend_headers: BTreeMap<String, String>,
    /// Headers that the client gets; an empty text: not there.
    #[serde(default)]
    answered: BTreeMap<String, String>,
    /// Backends that get a copy.
    #[serde(default)]
    mirrors: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn tcp() -> String {
    "TCP".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

#[test]
fn translates_every_golden_case_and_serves_its_requests() {
    insta::glob!("golden/*.in.yaml", |path| {
        let (tries, snapshot) = load(path);
        let translation = translated(&snapshot);
        let wrong: Vec<String> = tries.iter().filter_map(|one| judge(&translation, &gateway(&snapshot, one), one).err()).collect();
        assert!(wrong.is_empty(), "{}:\n{}", path.display(), wrong.join("\n"));
        insta::assert_yaml_snapshot!(translation);
    });
}

#[test]
fn does_not_depend_on_the_order_of_objects() {
    for path in cases() {
        let (_, mut snapshot) = load(&path);
        let shown = |snapshot: &Snapshot| serde_json::to_value(translated(snapshot)).unwrap();
        let expected = shown(&snapshot);
        for seed in 0..8 {
            shuffle_all(&mut snapshot, seed);
            assert_eq!(expected, shown(&snapshot), "{} {seed}", path.display());
        }
    }
}

fn shuffle_all(snapshot: &mut Snapshot, seed: u64) {
    let Snapshot {
        gateway_classes,
        gateways,
        listener_sets,
        routes,
        reference_grants,
        namespaces,
        services,
        endpoint_slices,
        secrets,
        upstreams,
        gateway_parameters,
        backend_tls_policies,
        config_maps,
        proxies: _,
    } = snapshot;
    shuffle(gateway_classes, seed);
    shuffle(gateways, seed);
    shuffle(listener_sets, seed);
    shuffle(routes, seed);
    shuffle(reference_grants, seed);
    shuffle(namespaces, seed);
    shuffle(services, seed);
    shuffle(endpoint_slices, seed);
    shuffle(secrets, seed);
    shuffle(upstreams, seed);
    shuffle(gateway_parameters, seed);
    shuffle(backend_tls_policies, seed);
    shuffle(config_maps, seed);
}

/// Fisher and Yates, with Knuth's linear congruence (MMIX) for the draws.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut drawn = seed;
    for at in (1..list.len()).rev() {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(at, usize::try_from(drawn >> 33).unwrap() % (at + 1));
    }
}

/// Objects come in any order, go, and come back, and the updates along the way add up to what one translation of the end says.
#[test]
fn says_the_same_whatever_the_way_there() {
    for path in cases() {
        let (_, snapshot) = load(&path);
        let expected = translated(&snapshot);
        for seed in 0..6 {
            let mut objects: Vec<Object> = snapshot.objects().collect();
            shuffle(&mut objects, seed);
            let mut heard = Heard::new(settings());
            heard.walk(objects, seed);
            assert_eq!(heard.configs, expected.configs, "{} {seed}", path.display());
            assert_eq!(heard.statuses(), serde_json::to_value(&expected.statuses).unwrap(), "{} {seed}", path.display());
            assert_eq!(heard.problems(), sorted(expected.problems.clone()), "{} {seed}", path.display());
        }
    }
}

/// What updates add up to.
struct Heard {
    translator: Translator,
    configs: BTreeMap<ObjectKey, Config>,
    statuses: BTreeMap<(&'static str, ObjectKey), Status>,
    problems: BTreeMap<(Kind, ObjectKey), Vec<Problem>>,
}

impl Heard {
    fn new(settings: Settings) -> Self {
        let translator = Translator::new(settings);
        Self { translator, configs: BTreeMap::new(), statuses: BTreeMap::new(), problems: BTreeMap::new() }
    }

    fn walk(&mut self, objects: Vec<Object>, seed: u64) {
        for (nth, object) in objects.iter().cloned().enumerate() {
            let (kind, key) = object.identity();
            self.translator.set(object);
            if !(nth as u64 + seed).is_multiple_of(3) {
                self.listen();
            }
            if (nth as u64 + seed).is_multiple_of(4) {
                self.translator.remove(kind, &key);
                self.listen();
            }
        }
        objects.into_iter().for_each(|object| self.translator.set(object));
        self.listen();
        assert!(self.translator.translate().configs.is_empty(), "nothing changed, and yet there is a change");
    }

    fn listen(&mut self) {
        let update = self.translator.translate();
        for (gateway, change) in update.configs {
            match change {
                ConfigChange::Gone => drop(self.configs.remove(&gateway)),
                ConfigChange::Delta { upsert, remove, .. } => {
                    let config = self.configs.entry(gateway).or_default();
                    assert!(upsert.into_iter().all(|named| config.put(named)), "something is told that was known");
                    assert!(remove.iter().all(|name| config.remove(name)), "something is gone that was not there");
                }
            }
        }
        for (kind, key, status) in update.statuses {
            let list = match kind {
                Kind::GatewayClass => "gatewayClasses",
                Kind::Gateway => "gateways",
                Kind::ListenerSet => "listenerSets",
                Kind::Route(RouteKind::Http) => "httpRoutes",
                Kind::Route(RouteKind::Grpc) => "grpcRoutes",
                Kind::Route(RouteKind::Tls) => "tlsRoutes",
                Kind::Route(RouteKind::Tcp) => "tcpRoutes",
                Kind::Route(RouteKind::Udp) => "udpRoutes",
                Kind::BackendTlsPolicy => "backendTlsPolicies",
                _ => "upstreams",
            };
            let empty = [Status::Route(translate::RouteStatus::default()), Status::Policy(translate::PolicyStatus::default())];
            match status.filter(|status| !empty.contains(status)) {
                Some(status) => drop(self.statuses.insert((list, key), status)),
                None => drop(self.statuses.remove(&(list, key))),
            }
        }
        self.problems.extend(update.problems);
    }

    fn statuses(&self) -> Value {
        let mut all = serde_json::to_value(translate::Statuses::default()).unwrap();
        for ((list, key), status) in &self.statuses {
            let (name, status) = match status {
                Status::GatewayClass(status) => (key.name.clone(), serde_json::to_value(status)),
                Status::Gateway(status) => (key.to_string(), serde_json::to_value(status)),
                Status::ListenerSet(status) => (key.to_string(), serde_json::to_value(status)),
                Status::Route(status) => (key.to_string(), serde_json::to_value(status)),
                Status::Upstream(status) => (key.to_string(), serde_json::to_value(status)),
                Status::Policy(status) => (key.to_string(), serde_json::to_value(status)),
            };
            all[list][name] = status.unwrap();
        }
        all
    }

    fn problems(&self) -> Vec<Problem> {
        sorted(self.problems.values().flatten().cloned().collect())
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|one| (one.kind.clone(), one.namespace.clone(), one.name.clone()));
    problems
}

#[test]
fn shows_no_credential_anywhere() {
    for path in cases() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, snapshot) = load(&path);
        let translation = translated(&snapshot);
        let shown = format!("{translation:?}{}", serde_json::to_string(&translation).unwrap());
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.len() > 3 && word.starts_with("sk-")) {
            assert!(!shown.contains(word), "{}: {word}", path.display());
        }
    }
}

fn translated(snapshot: &Snapshot) -> Translation {
    translate(snapshot, &settings(), Timestamp::UNIX_EPOCH)
}

fn settings() -> Settings {
    Settings { implied_class: Some("keyward".to_owned()), ..Settings::default() }
}

/// The Gateway that a request is for: a name that the file does not have would make every refusal come true.
fn gateway(snapshot: &Snapshot, given: &Try) -> ObjectKey {
    let keys: Vec<ObjectKey> = snapshot.gateways.iter().map(|gateway| ObjectKey::of(&gateway.metadata)).collect();
    match (&given.gateway, keys.as_slice()) {
        (Some(name), keys) => {
            keys.iter().find(|key| key.to_string() == *name).cloned().unwrap_or_else(|| panic!("there is no Gateway {name}"))
        }
        (None, [only]) => only.clone(),
        (None, several) => panic!("{} Gateways: {given:?} must name one", several.len()),
    }
}

fn cases() -> Vec<std::path::PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".in.yaml"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

fn load(path: &Path) -> (Vec<Try>, Snapshot) {
    let text = std::fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut tries, mut snapshot) = (Vec::new(), Snapshot::default());
    for document in documents {
        match document["kind"].as_str().unwrap_or_default() {
            "Requests" => tries = read(document["requests"].clone()),
            "Services" => add_services(&mut snapshot, &read::<Vec<String>>(document["services"].clone())),
            _ => add(&mut snapshot, document),
        }
    }
    (tries, snapshot)
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    let shown = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {shown}"))
}

fn add(snapshot: &mut Snapshot, document: Value) {
    let kind = document["kind"].as_str().unwrap_or_default();
    if let Some(kind) = RouteKind::named(kind) {
        return snapshot.routes.push(Arc::new(Route::read(kind, document).unwrap()));
    }
    match kind {
        "GatewayClass" => snapshot.gateway_classes.push(read(document)),
        "Gateway" => snapshot.gateways.push(read(document)),
        "ListenerSet" => snapshot.listener_sets.push(read(document)),
        "ReferenceGrant" => snapshot.reference_grants.push(read(document)),
        "Namespace" => snapshot.namespaces.push(read(document)),
        "Service" => snapshot.services.push(read(document)),
        "EndpointSlice" => snapshot.endpoint_slices.push(read(document)),
        "Secret" => snapshot.secrets.push(Arc::new(merged(read(document)))),
        "Upstream" => snapshot.upstreams.push(read(document)),
        "BackendTLSPolicy" => snapshot.backend_tls_policies.push(read(document)),
        "ConfigMap" => snapshot.config_maps.push(read(document)),
        other => panic!("kind {other:?} is not part of a snapshot"),
    }
}

/// As the API server does it, and `keyward up`.
fn merged(mut secret: Secret) -> Secret {
    let texts = secret.string_data.take().unwrap_or_default();
    secret.data.get_or_insert_default().extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    secret
}

/// `namespace/name:port`, each with one endpoint on the same port at 10.0.0.N.
fn add_services(snapshot: &mut Snapshot, services: &[String]) {
    for (nth, service) in services.iter().enumerate() {
        let (key, port) = service.split_once(':').unwrap();
        let (namespace, name) = key.split_once('/').unwrap();
        let port: u16 = port.parse().unwrap();
        add(
            snapshot,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "namespace": namespace, "name": name },
                "spec": { "ports": [{ "port": port }] }
            }),
        );
        add(
            snapshot,
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": { "namespace": namespace, "name": format!("{name}-1"), "labels": { "kubernetes.io/service-name": name } },
                "addressType": "IPv4",
                "endpoints": [{ "addresses": [format!("10.0.0.{}", nth + 1)] }],
                "ports": [{ "port": port }]
            }),
        );
    }
}

/// What became of a request, with everything that a case may ask about.
#[derive(Debug, Default)]
struct Outcome {
    text: String,
    sent: HeaderMap,
    answered: HeaderMap,
    mirrors: Vec<String>,
}

fn judge(translation: &Translation, gateway: &ObjectKey, given: &Try) -> Result<(), String> {
    let outcome = outcome(&table(translation, gateway), given);
    let wrong = |what: &str| Err(format!("{} {}{}: {what}, got {outcome:?}", given.method, given.host, given.path));
    if outcome.text != given.expect {
        return wrong(&format!("expected {:?}", given.expect));
    }
    for (name, value) in &given.sent {
        if joined(&outcome.sent, name) != *value {
            return wrong(&format!("expected to send {name}: {value}"));
        }
    }
    if let Some(name) = given.absent.iter().find(|name| outcome.sent.contains_key(name.as_str())) {
        return wrong(&format!("expected not to send {name}"));
    }
    for (name, value) in &given.answered {
        if joined(&outcome.answered, name) != *value {
            return wrong(&format!("expected the answer to have {name}: {value}"));
        }
    }
    match outcome.mirrors == given.mirrors {
        true => Ok(()),
        false => wrong(&format!("expected mirrors {:?}", given.mirrors)),
    }
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap());
    values.collect::<Vec<_>>().join(",")
}

/// The proxy's own reading of what was translated; empty for a Gateway that has no configuration.
fn table(translation: &Translation, gateway: &ObjectKey) -> Table {
    let config: Config = translation.configs.get(gateway).cloned().unwrap_or_default();
    let decoded = wire::decode(wire::encode(&config).unwrap().as_bytes()).unwrap();
    assert_eq!(decoded, config);
    let table = Table::compile(&decoded).unwrap();
    assert!(table.problems().is_empty(), "{:?}", table.problems());
    table
}

fn outcome(table: &Table, given: &Try) -> Outcome {
    let host = normalize_host(&given.host);
    let port = if given.transport == "UDP" { table.udp_port(given.port) } else { table.port(given.port) };
    let Some(listener) = port.and_then(|port| port.listener(&host)) else {
        return Outcome { text: "refuse no_listener".to_owned(), ..Outcome::default() };
    };
    match listener.protocol {
        Protocol::Http => requested(listener, given, "http"),
        Protocol::Https => requested(listener, given, "https"),
        Protocol::Tls | Protocol::TlsPassthrough | Protocol::Tcp | Protocol::Udp => {
            let passed = pass(listener, &host, given.draw);
            let text = passed.map_or_else(|reason| format!("refuse {}", reason.label()), |passage| format!("pass {}", passage.backend()));
            Outcome { text, ..Outcome::default() }
        }
    }
}

fn requested(listener: &ListenerTable, given: &Try, scheme: &str) -> Outcome {
    let (head, host) = (head(given), normalize_host(&given.host));
    let seen = Head { host: &host, method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    match decide(listener, &seen, (scheme, given.port), given.draw) {
        Decision::Forward(permit) => forwarded(&permit, head, given),
        Decision::Reply(reply) => replied(reply),
        Decision::Refuse(refusal) => {
            let text = format!("refuse {} {}", refusal.reason.label(), refusal.reason.status().as_u16());
            Outcome { text, ..Outcome::default() }
        }
    }
}

fn head(given: &Try) -> request::Parts {
    let request = Request::builder().method(given.method.as_str()).uri(&given.path).body(()).unwrap();
    let (mut head, ()) = request.into_parts();
    head.headers = headers(&given.headers);
    head.headers.insert("host", HeaderValue::try_from(&given.host).unwrap());
    head
}

fn headers(given: &BTreeMap<String, String>) -> HeaderMap {
    given.iter().map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())).collect()
}

fn forwarded(permit: &Permit, head: request::Parts, given: &Try) -> Outcome {
    let mirrors = permit.mirrors(&head).into_iter().map(|mirroring| mirroring.into_permitted().backend().name.clone()).collect();
    let mut answered = headers(&given.backend_headers);
    permit.respond(&mut answered);
    let (sent, backend) = permit.apply(head).unwrap().into_parts();
    Outcome { text: format!("forward {} path={}", backend.name, sent.uri), sent: sent.headers, answered, mirrors }
}

fn replied(reply: Reply) -> Outcome {
    let location = reply.headers.get("location").map(|location| format!(" location={}", location.to_str().unwrap())).unwrap_or_default();
    Outcome { text: format!("reply {}{location}", reply.status.as_u16()), answered: reply.headers, ..Outcome::default() }
}

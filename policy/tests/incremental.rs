//! A table made change by change is the table made at once, and a change that is refused leaves no trace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use policy::config::{
    AppProtocol, Attachment, Backend, BackendRef, BackendTls, Credential, Endpoints, Filters, HostPair, Listener, Match, Mirror, PathMatch,
    Protocol, Provider, ProviderPaths, RouteKey, Rule, Secret, StringMatch, TrustedRoots, ValueMatch,
};
use policy::wire::{Delta, Named, Resource};
use policy::{Compiler, Config, Head, Hostname, ProviderKind, Reason, Table, Token, decide};
use proptest::prelude::*;

const HOSTS: [&str; 5] = ["a.example.com", "b.example.com", "*.example.com", "*.com", "other.org"];
const PATHS: [&str; 6] = ["/", "/v1", "/v1/", "/v1/chat", "/pkg.Service/Get", "/[a-z]+"];

/// A value that depends on nothing but `seed`, each call with the next bits.
struct Bits(u64);

impl Bits {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn hostname(&mut self) -> Option<Hostname> {
        HOSTS.get(self.below(HOSTS.len() + 1)).map(|host| Hostname::parse(host).unwrap())
    }
}

fn listener(bits: &mut Bits) -> Listener {
    let port = 80 + u16::try_from(bits.below(2)).unwrap();
    let protocol = match bits.below(10) {
        0 => Protocol::Https,
        1 => Protocol::TlsPassthrough,
        2 => Protocol::Udp,
        _ => Protocol::Http,
    };
    let certificates = (0..bits.below(3) / 2).map(|_| format!("s{}", bits.below(3))).collect();
    Listener { port, protocol, hostname: bits.hostname(), certificates, client_auth: None }
}

fn matched(bits: &mut Bits) -> Match {
    let path = PATHS[bits.below(PATHS.len())].to_owned();
    let path = match bits.below(6) {
        0 => PathMatch::Exact(path),
        1 => PathMatch::Regex(path),
        2 => PathMatch::GrpcMethod("Get".into()),
        3 if bits.below(4) == 0 => PathMatch::Regex("(".into()),
        _ => PathMatch::Prefix(path),
    };
    let value = || ValueMatch { name: "x-kind".into(), value: StringMatch::Regex("[ab]".into()) };
    let headers = (0..bits.below(2)).map(|_| value()).collect();
    Match { path, method: (bits.below(4) == 0).then(|| "POST".into()), headers, query: Vec::new() }
}

fn rule(name: usize, bits: &mut Bits) -> Rule {
    let hosts = |bits: &mut Bits| (0..=bits.below(2)).map(|_| HostPair { host: bits.hostname(), original: bits.hostname() }).collect();
    let attachments = (0..=bits.below(2)).map(|_| Attachment { listener: format!("l{}", bits.below(3)), hosts: hosts(bits) }).collect();
    let backend = |bits: &mut Bits| match bits.below(6) {
        0 => Err(Reason::InvalidBackendRef),
        _ => Ok(format!("b{}", bits.below(3))),
    };
    let mirrors = (0..bits.below(4) / 3).map(|_| Mirror { backend: format!("b{}", bits.below(3)), numerator: 1, denominator: 1 }).collect();
    Rule {
        route: RouteKey { kind: "HTTPRoute".into(), namespace: "ns".into(), name: format!("r{}", name / 2) },
        index: u32::from(name % 2 == 1),
        created: i64::try_from(bits.below(2)).unwrap(),
        attachments,
        matches: (0..bits.below(4)).map(|_| matched(bits)).collect(),
        backends: (0..bits.below(3)).map(|_| BackendRef { weight: 1, backend: backend(bits), filters: None }).collect(),
        filters: Filters { mirrors, ..Filters::default() },
        ..Rule::default()
    }
}

/// Sometimes with a secret, which may be no certificate, or not there.
fn tls(bits: &mut Bits) -> Option<Result<Arc<BackendTls>, Reason>> {
    let client_certificate = (bits.below(2) == 0).then(|| format!("s{}", bits.below(3)));
    let tls = BackendTls { sni: "a.example.com".into(), names: Vec::new(), roots: TrustedRoots::System, client_certificate };
    match bits.below(6) {
        0 => Some(Err(Reason::InvalidBackendTls)),
        1 | 2 => Some(Ok(Arc::new(tls))),
        _ => None,
    }
}

fn backend(bits: &mut Bits) -> Backend {
    if bits.below(2) == 0 {
        return Backend::Service { endpoints: format!("e{}", bits.below(3)), protocol: AppProtocol::Http1, tls: tls(bits) };
    }
    // A host that cannot stand in a header makes the whole change unusable.
    let host = if bits.below(10) == 0 { "bad\nhost" } else { "api.example.com" };
    Backend::Provider(Provider {
        kind: ProviderKind::Openai,
        host: host.into(),
        port: 443,
        hostname: host.into(),
        tls: true,
        credential: Credential::Secret(format!("s{}", bits.below(3))),
        paths: ProviderPaths::default(),
        model: None,
        version: None,
    })
}

fn resource(name: usize, bits: &mut Bits) -> Named {
    let (name, resource) = match bits.below(8) {
        0 => (format!("l{}", name % 3), Resource::Listener(Arc::new(listener(bits)))),
        1 => (format!("b{}", name % 3), Resource::Backend(Arc::new(backend(bits)))),
        2 => {
            let address = format!("10.0.0.{}:80", bits.below(4)).parse().unwrap();
            (format!("e{}", name % 3), Resource::Endpoints(Arc::new(Endpoints { addresses: vec![address] })))
        }
        3 => {
            let secret = match bits.below(2) {
                0 => Secret::Token(Token::new(format!("sk-{}", bits.below(3)))),
                _ => Secret::Certificate { chain: "chain".into(), key: Token::new("key") },
            };
            (format!("s{}", name % 3), Resource::Secret(Arc::new(secret)))
        }
        _ => (format!("r{name}"), Resource::Rule(Arc::new(rule(name, bits)))),
    };
    Named { name, resource }
}

/// Some upserts and removals, from seeds.
fn delta(seeds: &[(u64, bool)]) -> Delta {
    let mut delta = Delta::default();
    for (seed, remove) in seeds {
        let mut bits = Bits(*seed);
        let name = bits.below(8);
        let named = resource(name, &mut bits);
        match remove {
            true => delta.remove.push(named.xds_name()),
            false => delta.upsert.push(named),
        }
    }
    delta
}

/// What a request meets, over hosts, paths and headers.
fn decisions(table: &Table) -> Vec<String> {
    let mut kind = HeaderMap::new();
    kind.insert("x-kind", HeaderValue::from_static("a"));
    let mut all = Vec::new();
    for (at, port) in table.ports() {
        for host in ["a.example.com", "b.example.com", "x.y.example.com", "z.com", "other.org", "none"] {
            for path in ["/", "/v1", "/v1/chat", "/v1/x", "/pkg.Service/Get", "/abc"] {
                for (method, headers) in [(Method::GET, HeaderMap::new()), (Method::POST, kind.clone())] {
                    let head = Head { host, method: &method, path, query: None, headers: &headers };
                    let decided = port.listener(host).map(|listener| decide(listener, &head, ("http", at.number), 7));
                    all.push(format!("{at} {host} {path} {method} {decided:?}"));
                }
            }
        }
    }
    all
}

fn same(incremental: &Table, whole: &Table) -> Result<(), TestCaseError> {
    prop_assert_eq!(decisions(incremental), decisions(whole));
    prop_assert_eq!(incremental.problems(), whole.problems());
    prop_assert_eq!(format!("{incremental:#?}"), format!("{whole:#?}"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn change_by_change_is_the_same_as_at_once(changes in prop::collection::vec(prop::collection::vec(any::<(u64, bool)>(), 1..8), 1..20)) {
        let mut compiler = Compiler::default();
        let mut last = Table::default();
        for seeds in changes {
            let before = compiler.config().clone();
            match compiler.apply(delta(&seeds)) {
                Ok(applied) => {
                    same(&applied.table, &Table::compile(compiler.config()).unwrap())?;
                    last = applied.table;
                }
                Err(_) => {
                    prop_assert_eq!(compiler.config(), &before);
                    same(&compiler.apply(Delta::default()).unwrap().table, &last)?;
                }
            }
        }
    }

    #[test]
    fn a_table_that_is_held_never_changes(first in prop::collection::vec(any::<u64>(), 1..20), then in any::<[(u64, bool); 6]>()) {
        let mut compiler = Compiler::default();
        let first: Vec<_> = first.into_iter().map(|seed| (seed, false)).collect();
        let Ok(held) = compiler.apply(delta(&first)) else { return Ok(()) };
        let before = format!("{:#?}", held.table);
        let _ = compiler.apply(delta(&then));
        prop_assert_eq!(format!("{:#?}", held.table), before);
    }

    #[test]
    fn from_one_configuration_to_any_other(from in prop::collection::vec(any::<u64>(), 0..12), to in prop::collection::vec(any::<u64>(), 0..12)) {
        let config = |seeds: Vec<u64>| {
            let seeds: Vec<_> = seeds.into_iter().map(|seed| (seed, false)).collect();
            let mut compiler = Compiler::default();
            let _ = compiler.apply(delta(&seeds));
            compiler.config().clone()
        };
        let (from, to) = (config(from), config(to));
        let mut compiler = Compiler::default();
        compiler.apply(Delta::from(&from)).unwrap();
        let applied = compiler.apply(Delta::between(&from, &to)).unwrap();
        prop_assert_eq!(compiler.config(), &to);
        same(&applied.table, &Table::compile(&to).unwrap())?;
    }
}

/// A Gateway with one host per rule.
fn wide(rules: usize) -> Config {
    let mut config = Config::default();
    let listener = Listener { port: 80, protocol: Protocol::Http, hostname: None, certificates: Vec::new(), client_auth: None };
    config.listeners.insert("http".into(), Arc::new(listener));
    config.endpoints.insert("svc".into(), Arc::new(Endpoints { addresses: vec!["10.0.0.1:80".parse().unwrap()] }));
    config.backends.insert("svc".into(), Arc::new(Backend::Service { endpoints: "svc".into(), protocol: AppProtocol::Http1, tls: None }));
    for nth in 0..rules {
        config.rules.insert(format!("r{nth}"), Arc::new(simple(&format!("{nth}.example.com"), "/")));
    }
    config
}

fn simple(host: &str, path: &str) -> Rule {
    let host = Some(Hostname::parse(host).unwrap());
    Rule {
        route: RouteKey { kind: "HTTPRoute".into(), namespace: "ns".into(), name: format!("{host:?}{path}") },
        attachments: vec![Attachment { listener: "http".into(), hosts: vec![HostPair { host: host.clone(), original: host }] }],
        matches: vec![Match { path: PathMatch::Prefix(path.into()), ..Match::default() }],
        backends: vec![BackendRef { weight: 1, backend: Ok("svc".into()), filters: None }],
        ..Rule::default()
    }
}

fn upsert(name: &str, rule: Rule) -> Delta {
    Delta { upsert: vec![Named { name: name.into(), resource: Resource::Rule(Arc::new(rule)) }], remove: Vec::new() }
}

fn found(table: &Table, host: &str, path: &str) -> Option<String> {
    let headers = HeaderMap::new();
    let head = Head { host, method: &Method::GET, path, query: None, headers: &headers };
    table.port(80)?.listener(host)?.find(&head).map(|(rule, _)| rule.route().name.clone())
}

#[test]
fn a_change_of_endpoints_reaches_every_rule_that_leads_there() {
    let mut compiler = Compiler::default();
    compiler.apply(Delta::from(&wide(200))).unwrap();
    let endpoints = Resource::Endpoints(Arc::new(Endpoints { addresses: vec!["10.0.0.2:80".parse().unwrap()] }));
    let applied = compiler.apply(Delta { upsert: vec![Named { name: "svc".into(), resource: endpoints }], remove: Vec::new() }).unwrap();
    assert_eq!(applied.backends, ["svc"]);
    let text = format!("{:?}", applied.table);
    assert!(text.contains("10.0.0.2:80") && !text.contains("10.0.0.1:80"));
}

#[test]
fn a_rule_that_names_a_backend_to_come_is_served_once_it_came() {
    let mut compiler = Compiler::default();
    let mut config = wide(1);
    let backend = config.backends.remove("svc").unwrap();
    let applied = compiler.apply(Delta::from(&config)).unwrap();
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(applied.table.problems(), &applied.refused[..]);
    let named = Named { name: "svc".into(), resource: Resource::Backend(backend) };
    let applied = compiler.apply(Delta { upsert: vec![named], remove: Vec::new() }).unwrap();
    assert!(applied.refused.is_empty() && applied.table.problems().is_empty());
}

#[test]
fn a_listener_that_comes_late_or_moves_keeps_its_rules() {
    let mut compiler = Compiler::default();
    let mut config = wide(100);
    let listener = config.listeners.remove("http").unwrap();
    assert!(compiler.apply(Delta::from(&config)).unwrap().table.port(80).is_none());
    let to = |port| {
        let listener = Listener { port, ..(*listener).clone() };
        Delta { upsert: vec![Named { name: "http".into(), resource: Resource::Listener(Arc::new(listener)) }], remove: Vec::new() }
    };
    assert!(compiler.apply(to(81)).unwrap().listeners);
    let table = compiler.apply(to(80)).unwrap().table;
    assert!(table.port(81).is_none());
    assert!(found(&table, "77.example.com", "/").is_some());
}

#[test]
fn takes_thousands_of_paths_on_one_host_and_lets_them_go_again() {
    let mut compiler = Compiler::default();
    compiler.apply(Delta::from(&wide(0))).unwrap();
    for nth in 0..3000 {
        compiler.apply(upsert(&format!("p{nth}"), simple("one.example.com", &format!("/r-{nth}")))).unwrap();
    }
    let table = compiler.apply(Delta::default()).unwrap().table;
    assert!((0..3000).all(|nth| found(&table, "one.example.com", &format!("/r-{nth}/x")).is_some()));
    let remove = (0..3000).map(|nth| format!("rule/p{nth}")).collect();
    let emptied = compiler.apply(Delta { upsert: Vec::new(), remove }).unwrap().table;
    same(&emptied, &Table::compile(&wide(0)).unwrap()).unwrap();
    assert_eq!(found(&table, "one.example.com", "/r-7").is_some(), found(&emptied, "one.example.com", "/r-7").is_none());
}

#[test]
fn a_conflict_names_the_listener_and_quotes_no_value() {
    let mut compiler = Compiler::default();
    compiler.apply(Delta::from(&wide(1))).unwrap();
    let second = Listener { port: 80, protocol: Protocol::Http, hostname: None, certificates: Vec::new(), client_auth: None };
    let mut delta = upsert("r9", simple("new.example.com", "/"));
    delta.upsert.push(Named { name: "zz".into(), resource: Resource::Listener(Arc::new(second)) });
    let error = compiler.apply(delta).unwrap_err();
    assert_eq!(error.resource, "listener zz");
    assert!(!compiler.config().rules.contains_key("r9"));
    let bad =
        Rule { matches: vec![Match { path: PathMatch::Regex("(sk-canary".into()), ..Match::default() }], ..simple("c.example.com", "/") };
    let applied = compiler.apply(upsert("r1", bad)).unwrap();
    assert!(!applied.refused.is_empty() && !format!("{:?}", applied.refused).contains("canary"), "{:?}", applied.refused);
}

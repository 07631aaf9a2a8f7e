//! The rule this project exists for, tried with whatever a client may send: exactly one credential reaches a provider.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, request};
use policy::config::{
    Attachment, Backend, BackendRef, Credential, Endpoints, Filters, HeaderChanges, HeaderLiteral, HeaderText, HostPair, Listener, Match,
    Mirror, Protocol, Provider, ProviderPaths, Rule, Secret,
};
use policy::{CREDENTIAL_HEADERS, Config, Decision, Head, Permit, ProviderKind, Reason, Table, Token, decide};
use proptest::prelude::*;

const KINDS: [ProviderKind; 6] = [
    ProviderKind::Openai,
    ProviderKind::Mistral,
    ProviderKind::Anthropic,
    ProviderKind::AzureOpenai,
    ProviderKind::Gemini,
    ProviderKind::VertexAi,
];

fn provider(kind: ProviderKind, credential: Credential) -> Provider {
    let paths = ProviderPaths { keep: vec!["/v1/".into()], chat: "/v1/chat/completions".into(), ..ProviderPaths::default() };
    let host = "api.example.com".to_owned();
    Provider { kind, hostname: host.clone(), host, port: 443, tls: true, credential, paths, model: None, version: None }
}

/// One route for everything, to a provider, with a literal credential in a filter and a mirror to a Service.
fn table(kind: ProviderKind, credential: Credential) -> Table {
    let mut config = Config::default();
    let listener = Listener { port: 80, protocol: Protocol::Http, hostname: None, certificates: Vec::new(), client_auth: None };
    config.listeners.insert("http".into(), Arc::new(listener));
    config.secrets.insert("token".into(), Arc::new(Secret::Token(Token::new("sk-gateway"))));
    config.endpoints.insert("svc".into(), Arc::new(Endpoints { addresses: vec!["127.0.0.1:1".parse().unwrap()] }));
    config.backends.insert("svc".into(), Arc::new(Backend::Service { endpoints: "svc".into(), protocol: Default::default(), tls: None }));
    config.backends.insert("ai".into(), Arc::new(Backend::Provider(provider(kind, credential))));
    let literal = HeaderLiteral { name: "Authorization".into(), value: HeaderText::Sensitive(Token::new("Bearer sk-literal")) };
    let filters = Filters {
        request: HeaderChanges { add: vec![literal], ..HeaderChanges::default() },
        mirrors: vec![Mirror { backend: "svc".into(), numerator: 1, denominator: 1 }],
        ..Filters::default()
    };
    let rule = Rule {
        attachments: vec![Attachment { listener: "http".into(), hosts: vec![HostPair::default()] }],
        matches: vec![Match::default()],
        filters,
        backends: vec![BackendRef { weight: 1, backend: Ok("ai".into()), filters: None }],
        ..Rule::default()
    };
    config.rules.insert("r".into(), Arc::new(rule));
    Table::compile(&config).unwrap()
}

fn head(target: &str, headers: &[(String, String)]) -> request::Parts {
    let mut head = Request::get(target).header("host", "gateway").body(()).unwrap().into_parts().0;
    for (name, value) in headers {
        head.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    head
}

fn decided(table: &Table, head: &request::Parts) -> Decision {
    let listener = table.port(80).unwrap().listener("gateway").unwrap();
    let seen = Head { host: "gateway", method: &head.method, path: head.uri.path(), query: head.uri.query(), headers: &head.headers };
    decide(listener, &seen, ("http", 80), 7)
}

fn permit(table: &Table, head: &request::Parts) -> Permit {
    match decided(table, head) {
        Decision::Forward(permit) => permit,
        other => panic!("{other:?}"),
    }
}

fn credentials(headers: &HeaderMap) -> Vec<(String, String)> {
    let all = CREDENTIAL_HEADERS.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    all.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn expected(kind: ProviderKind, token: &str) -> Vec<(String, String)> {
    vec![(kind.credential_header().to_string(), format!("{}{token}", kind.scheme()))]
}

/// Names of credential headers in odd casing, with values, in any number.
fn client_credentials() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = (0..CREDENTIAL_HEADERS.len(), any::<u32>()).prop_map(|(nth, bits)| {
        let odd = |(at, c): (usize, char)| if bits >> (at % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c };
        CREDENTIAL_HEADERS[nth].as_str().chars().enumerate().map(odd).collect::<String>()
    });
    proptest::collection::vec((name, "[ -~]{0,20}"), 0..8)
}

proptest! {
    #[test]
    fn a_gateways_credential_goes_alone(nth in 0usize..6, sent in client_credentials(), spelling in "key|KEY|%6bey|api_key|k%65y") {
        let (kind, table) = (KINDS[nth], table(KINDS[nth], Credential::Secret("token".into())));
        let head = head(&format!("/v1/models?{spelling}=sk-client&a=b"), &sent);
        let permit = permit(&table, &head);
        let (sent_on, _) = permit.apply(head).unwrap().into_parts();
        prop_assert_eq!(credentials(&sent_on.headers), expected(kind, "sk-gateway"));
        prop_assert_eq!(sent_on.uri.to_string(), "/v1/models?a=b");
    }

    #[test]
    fn a_mirrors_copy_of_a_request_for_a_provider_carries_none(nth in 0usize..6, sent in client_credentials()) {
        let table = table(KINDS[nth], Credential::Secret("token".into()));
        let head = head("/x?key=sk-client&a=b", &sent);
        for mirroring in permit(&table, &head).mirrors(&head) {
            let (copy, _) = mirroring.into_permitted().into_parts();
            prop_assert_eq!(credentials(&copy.headers), vec![]);
            prop_assert_eq!(copy.uri.to_string(), "/x?a=b");
        }
    }

    #[test]
    fn passthrough_sends_the_clients_token_alone_or_nothing(nth in 0usize..6, sent in client_credentials()) {
        let (kind, table) = (KINDS[nth], table(KINDS[nth], Credential::Passthrough));
        let head = head("/v1/models", &sent);
        match decided(&table, &head) {
            Decision::Forward(permit) => {
                let (sent_on, _) = permit.apply(head).unwrap().into_parts();
                let left = credentials(&sent_on.headers);
                prop_assert_eq!(left.len(), 1);
                prop_assert_eq!(&left[0].0, &kind.credential_header().to_string());
                prop_assert!(sent.iter().any(|(_, value)| value.trim().ends_with(left[0].1.trim_start_matches(kind.scheme()))));
            }
            Decision::Refuse(refusal) => prop_assert!(matches!(refusal.reason, Reason::ClientTokenMissing | Reason::ClientTokenAmbiguous)),
            other @ Decision::Reply(_) => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn passthrough_rehomes_a_bearer_to_each_providers_header() {
    for kind in KINDS {
        let table = table(kind, Credential::Passthrough);
        let head = head("/v1/models", &[("authorization".into(), "Bearer sk-mine".into())]);
        let (sent_on, _) = permit(&table, &head).apply(head).unwrap().into_parts();
        assert_eq!(credentials(&sent_on.headers), expected(kind, "sk-mine"));
    }
}

#[test]
fn fails_closed_without_a_usable_credential() {
    for (credential, reason) in [
        (Credential::Passthrough, Reason::ClientTokenMissing),
        (Credential::Secret("gone".into()), Reason::SecretMissing),
        (Credential::Unavailable(Reason::InlineMalformed), Reason::InlineMalformed),
    ] {
        match decided(&table(ProviderKind::Openai, credential), &head("/v1/models", &[])) {
            Decision::Refuse(refusal) => assert_eq!((refusal.reason, refusal.shape.is_some()), (reason, true)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn refuses_methods_that_would_echo_or_tunnel() {
    let table = table(ProviderKind::Openai, Credential::Secret("token".into()));
    for method in ["TRACE", "CONNECT"] {
        let mut head = head("/v1/models", &[]);
        head.method = method.parse().unwrap();
        assert!(matches!(decided(&table, &head), Decision::Refuse(refusal) if refusal.reason == Reason::MethodNotAllowed));
    }
}

#[test]
fn nothing_that_is_decided_shows_a_token_when_printed() {
    let table = table(ProviderKind::Openai, Credential::Secret("token".into()));
    let head = head("/v1/models", &[]);
    let printed = format!("{table:?} {:?}", decided(&table, &head));
    assert!(!printed.contains("sk-gateway") && !printed.contains("sk-literal"), "{printed}");
}

#[test]
fn strips_credential_parameters_behind_semicolons_too() {
    let table = table(ProviderKind::Gemini, Credential::Secret("token".into()));
    let head = head("/v1/x?alt=sse;key=a&Key=b", &[]);
    let (sent_on, _) = permit(&table, &head).apply(head).unwrap().into_parts();
    assert_eq!(sent_on.uri.to_string(), "/v1/x?alt=sse");
}

//! `allowedRoutes`: which kinds of routes, from which namespaces, may attach to a listener; and `allowedListeners`: from which namespaces
//! ListenerSets may attach to a Gateway. What is not understood admits nobody.

use std::collections::BTreeMap;

use gateway_api::experimental::gateways as api;
use policy::Protocol;

use crate::finding::{Finding, Findings, UNSUPPORTED_VALUE};
use crate::grant::GATEWAY_GROUP;
use crate::model::RouteKind;

/// From where routes or ListenerSets may attach.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AllowedNamespaces {
    Nowhere,
    Same,
    All,
    Selector(Selector),
}

/// A label selector; all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: BTreeMap<String, String>,
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    /// What cannot be read holds for nobody.
    Never,
}

impl AllowedNamespaces {
    pub(super) fn of(routes: Option<&api::GatewayListenersAllowedRoutes>, field: &str, findings: &mut Findings) -> Self {
        let Some(namespaces) = routes.and_then(|routes| routes.namespaces.as_ref()) else { return Self::Same };
        match &namespaces.from {
            None | Some(api::GatewayListenersAllowedRoutesNamespacesFrom::Same) => Self::Same,
            Some(api::GatewayListenersAllowedRoutesNamespacesFrom::All) => Self::All,
            Some(api::GatewayListenersAllowedRoutesNamespacesFrom::Selector) => {
                Self::Selector(selector(namespaces.selector.as_ref(), &format!("{field}.allowedRoutes.namespaces.selector"), findings))
            }
        }
    }

    /// From where ListenerSets may attach: nowhere, unless the Gateway says otherwise. What cannot be read there is only a warning, for the
    /// Gateway's own listeners are served all the same.
    pub(super) fn of_sets(spec: &api::GatewaySpec, findings: &mut Findings) -> Self {
        let namespaces = spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
        let Some((namespaces, from)) = namespaces.and_then(|namespaces| Some((namespaces, namespaces.from.as_ref()?))) else {
            return Self::Nowhere;
        };
        match from {
            api::GatewayAllowedListenersNamespacesFrom::None => Self::Nowhere,
            api::GatewayAllowedListenersNamespacesFrom::Same => Self::Same,
            api::GatewayAllowedListenersNamespacesFrom::All => Self::All,
            api::GatewayAllowedListenersNamespacesFrom::Selector => {
                let mut found = Findings::default();
                let given = namespaces.selector.as_ref().map(as_of_routes);
                let selector = selector(given.as_ref(), "spec.allowedListeners.namespaces.selector", &mut found);
                findings.extend(found.iter().map(|one| Finding::warning(&one.field, one.reason, &one.message)));
                Self::Selector(selector)
            }
        }
    }

    /// Whether a route or ListenerSet of `namespace`, which has `labels`, may attach to what is of namespace `own`.
    pub(crate) fn admits(&self, own: &str, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Nowhere => false,
            Self::Same => own == namespace,
            Self::All => true,
            Self::Selector(selector) => selector.selects(labels),
        }
    }
}

fn selector(given: Option<&api::GatewayListenersAllowedRoutesNamespacesSelector>, field: &str, findings: &mut Findings) -> Selector {
    let Some(given) = given else {
        findings.push(Finding::accepted(field, UNSUPPORTED_VALUE, "from: Selector needs a selector; without one nothing may attach"));
        return Selector { requirements: vec![Requirement { key: String::new(), test: Test::Never }], ..Selector::default() };
    };
    let expressions = given.match_expressions.iter().flatten().enumerate();
    Selector {
        labels: given.match_labels.clone().unwrap_or_default(),
        requirements: expressions.map(|(nth, one)| requirement(one, &format!("{field}.matchExpressions[{nth}]"), findings)).collect(),
    }
}

/// The API has one type of selector for each place where one stands.
fn as_of_routes(given: &api::GatewayAllowedListenersNamespacesSelector) -> api::GatewayListenersAllowedRoutesNamespacesSelector {
    let expression = |one: &api::GatewayAllowedListenersNamespacesSelectorMatchExpressions| {
        api::GatewayListenersAllowedRoutesNamespacesSelectorMatchExpressions {
            key: one.key.clone(),
            operator: one.operator.clone(),
            values: one.values.clone(),
        }
    };
    api::GatewayListenersAllowedRoutesNamespacesSelector {
        match_labels: given.match_labels.clone(),
        match_expressions: given.match_expressions.as_ref().map(|all| all.iter().map(expression).collect()),
    }
}

fn requirement(
    given: &api::GatewayListenersAllowedRoutesNamespacesSelectorMatchExpressions,
    field: &str,
    findings: &mut Findings,
) -> Requirement {
    let test = test(&given.operator, given.values.clone().unwrap_or_default()).unwrap_or_else(|(below, what)| {
        let message = format!("{what}; until then nothing may attach");
        findings.push(Finding::accepted(format!("{field}{below}"), UNSUPPORTED_VALUE, message));
        Test::Never
    });
    Requirement { key: given.key.clone(), test }
}

/// "If the operator is In or NotIn, the values array must be non-empty. If the operator is Exists or DoesNotExist, the values array must be
/// empty" (LabelSelectorRequirement.values).
fn test(operator: &str, values: Vec<String>) -> Result<Test, (&'static str, &'static str)> {
    match (operator, values.is_empty()) {
        ("In", false) => Ok(Test::In(values)),
        ("NotIn", false) => Ok(Test::NotIn(values)),
        ("Exists", true) => Ok(Test::Exists),
        ("DoesNotExist", true) => Ok(Test::DoesNotExist),
        ("In" | "NotIn", true) => Err((".values", "the operators In and NotIn need values: add them")),
        ("Exists" | "DoesNotExist", false) => Err((".values", "the operators Exists and DoesNotExist take no values: remove them")),
        _ => Err((".operator", "the operator is not known: use In, NotIn, Exists or DoesNotExist")),
    }
}

impl Selector {
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value)) && self.requirements.iter().all(|one| one.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Never => false,
        }
    }
}

/// The kinds a listener admits: what its protocol can carry, narrowed by `allowedRoutes.kinds`. "If an implementation does not support
/// or recognize this resource type, it MUST set the `ResolvedRefs` condition to False … with the `InvalidRouteKinds` reason".
pub(super) fn allowed_kinds(
    protocol: Option<Protocol>,
    routes: Option<&api::GatewayListenersAllowedRoutes>,
    field: &str,
    findings: &mut Findings,
) -> Vec<RouteKind> {
    let possible: &[RouteKind] = match protocol {
        Some(Protocol::Http | Protocol::Https) => &[RouteKind::Http, RouteKind::Grpc],
        Some(Protocol::Tls | Protocol::TlsPassthrough) => &[RouteKind::Tls],
        Some(Protocol::Tcp) => &[RouteKind::Tcp],
        Some(Protocol::Udp) => &[RouteKind::Udp],
        None => &[],
    };
    let asked = routes.and_then(|routes| routes.kinds.as_deref()).unwrap_or_default();
    if asked.is_empty() || possible.is_empty() {
        return possible.to_vec();
    }
    let mut kinds = Vec::new();
    for (nth, one) in asked.iter().enumerate() {
        let group = one.group.as_deref().unwrap_or(GATEWAY_GROUP);
        match possible.iter().find(|kind| group == GATEWAY_GROUP && kind.as_str() == one.kind) {
            Some(kind) if kinds.contains(kind) => {}
            Some(kind) => kinds.push(*kind),
            None => {
                let message = format!(
                    "{group} {} cannot attach to a listener of protocol {}",
                    one.kind,
                    protocol.map_or("unknown", Protocol::as_str)
                );
                findings.push(Finding::refs(format!("{field}.allowedRoutes.kinds[{nth}]"), "InvalidRouteKinds", message));
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selects(test: Test, pairs: &[(&str, &str)]) -> bool {
        Selector { requirements: vec![Requirement { key: "env".into(), test }], ..Selector::default() }.selects(&labels(pairs))
    }

    #[test]
    fn selects_namespaces_by_expressions() {
        let values = || vec!["prod".to_owned(), "test".to_owned()];
        assert!(selects(Test::In(values()), &[("env", "prod")]) && !selects(Test::In(values()), &[]));
        assert!(selects(Test::NotIn(values()), &[]) && !selects(Test::NotIn(values()), &[("env", "test")]));
        assert!(selects(Test::Exists, &[("env", "x")]) && !selects(Test::Exists, &[("a", "x")]));
        assert!(selects(Test::DoesNotExist, &[]) && !selects(Test::DoesNotExist, &[("env", "x")]));
    }

    #[test]
    fn admits_nobody_by_what_cannot_be_read() {
        for (operator, values) in [("In", 0), ("NotIn", 0), ("Exists", 1), ("DoesNotExist", 1), ("Like", 1), ("", 0)] {
            assert!(test(operator, vec!["prod".to_owned(); values]).is_err(), "{operator}");
        }
        assert!(!selects(Test::Never, &[("env", "prod")]) && !selects(Test::Never, &[]));
    }

    #[test]
    fn admits_listener_sets_only_where_the_gateway_says_so() {
        let none = BTreeMap::new();
        for (allowed, same, other) in [
            (serde_json::json!({}), false, false),
            (serde_json::json!({ "namespaces": { "from": "None" } }), false, false),
            (serde_json::json!({ "namespaces": { "from": "Same" } }), true, false),
            (serde_json::json!({ "namespaces": { "from": "All" } }), true, true),
            (serde_json::json!({ "namespaces": { "from": "Selector" } }), false, false),
            (serde_json::json!({ "namespaces": { "from": "Selector", "selector": {} } }), true, true),
        ] {
            let spec = serde_json::json!({ "gatewayClassName": "c", "listeners": [], "allowedListeners": allowed });
            let spec: api::GatewaySpec = serde_json::from_value(spec).unwrap();
            let admitted = AllowedNamespaces::of_sets(&spec, &mut Findings::default());
            assert_eq!((admitted.admits("a", "a", &none), admitted.admits("a", "b", &none)), (same, other), "{allowed}");
        }
    }

    #[test]
    fn needs_all_labels() {
        let selector = Selector { labels: labels(&[("a", "1"), ("b", "2")]), ..Selector::default() };
        assert!(selector.selects(&labels(&[("a", "1"), ("b", "2"), ("c", "3")])) && !selector.selects(&labels(&[("a", "1")])));
    }
}

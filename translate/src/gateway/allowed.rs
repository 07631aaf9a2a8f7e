//! `allowedRoutes`: which kinds of routes, from which namespaces, may attach to a listener. What is not understood admits nobody.

use std::collections::BTreeMap;

use gateway_api::experimental::gateways as api;
use policy::Protocol;

use crate::finding::{Finding, Findings, UNSUPPORTED_VALUE};
use crate::grant::GATEWAY_GROUP;
use crate::model::RouteKind;

/// From where routes may attach.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AllowedNamespaces {
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

    /// Whether a route of `namespace`, which has `labels`, may attach to a Gateway of namespace `own`.
    pub(crate) fn admits(&self, own: &str, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Same => own == namespace,
            Self::All => true,
            Self::Selector(selector) => selector.selects(labels),
        }
    }
}

fn selector(given: Option<&api::GatewayListenersAllowedRoutesNamespacesSelector>, field: &str, findings: &mut Findings) -> Selector {
    let Some(given) = given else {
        findings.push(Finding::accepted(field, UNSUPPORTED_VALUE, "from: Selector needs a selector; without one no route may attach"));
        return Selector { requirements: vec![Requirement { key: String::new(), test: Test::Never }], ..Selector::default() };
    };
    let expressions = given.match_expressions.iter().flatten().enumerate();
    Selector {
        labels: given.match_labels.clone().unwrap_or_default(),
        requirements: expressions.map(|(nth, one)| requirement(one, &format!("{field}.matchExpressions[{nth}]"), findings)).collect(),
    }
}

fn requirement(
    given: &api::GatewayListenersAllowedRoutesNamespacesSelectorMatchExpressions,
    field: &str,
    findings: &mut Findings,
) -> Requirement {
    let test = test(&given.operator, given.values.clone().unwrap_or_default()).unwrap_or_else(|(below, what)| {
        let message = format!("{what}; until then no route may attach");
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
    fn needs_all_labels() {
        let selector = Selector { labels: labels(&[("a", "1"), ("b", "2")]), ..Selector::default() };
        assert!(selector.selects(&labels(&[("a", "1"), ("b", "2"), ("c", "3")])) && !selector.selects(&labels(&[("a", "1")])));
    }
}

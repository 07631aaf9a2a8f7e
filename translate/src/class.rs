//! GatewayClasses: which are ours, and what we say about them.

use std::collections::BTreeSet;

use gateway_api::experimental::gatewayclasses::GatewayClass;

use crate::finding::{Finding, Findings};
use crate::{Settings, Snapshot};

/// All classes, told apart by controller.
#[derive(Debug)]
pub(crate) struct Classes<'s> {
    ours: Vec<&'s GatewayClass>,
    known: BTreeSet<&'s str>,
    implied: Option<String>,
}

/// Whose Gateways a class marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Ours,
    Another,
    /// There is no such GatewayClass.
    Nobody,
}

impl<'s> Classes<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, settings: &Settings) -> Self {
        let classes = || snapshot.gateway_classes.iter().map(|class| &**class);
        Self {
            ours: classes().filter(|class| class.spec.controller_name == settings.controller_name).collect(),
            known: classes().map(name).collect(),
            implied: settings.implied_class.clone(),
        }
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = (&'s str, &'s GatewayClass)> {
        self.ours.iter().map(|class| (name(class), *class))
    }

    pub(crate) fn owner(&self, class: &str) -> Owner {
        match self.known.contains(class) {
            true if self.ours.iter().any(|ours| name(ours) == class) => Owner::Ours,
            true => Owner::Another,
            false if self.implied.as_deref() == Some(class) => Owner::Ours,
            false => Owner::Nobody,
        }
    }
}

fn name(class: &GatewayClass) -> &str {
    class.metadata.name.as_deref().unwrap_or_default()
}

/// What is wrong with a class of ours.
pub(crate) fn findings(class: &GatewayClass) -> Findings {
    let mut findings = Findings::default();
    if let Some(parameters) = &class.spec.parameters_ref {
        let message = format!("parametersRef to {} {} is not understood: remove it", parameters.kind, parameters.name);
        findings.push(Finding::accepted("spec.parametersRef", "InvalidParameters", message));
    }
    findings
}

/// The features served, as the conformance suite names them (`sigs.k8s.io/gateway-api/pkg/features`, 1.7.0), sorted. What is not here
/// is not served yet: ListenerSet, BackendTLSPolicy, client certificates, TLSRoute, TCPRoute, UDPRoute, 421 on misdirected requests
/// (a matter of the proxy), static addresses and infrastructure (matters of the operator).
pub(crate) const SUPPORTED_FEATURES: [&str; 35] = [
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteBackendURLRewrite",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetryCodes",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_features_sorted_and_once() {
        assert!(SUPPORTED_FEATURES.windows(2).all(|pair| pair[0] < pair[1]), "{SUPPORTED_FEATURES:?}");
    }
}

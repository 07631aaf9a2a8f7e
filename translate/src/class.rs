//! GatewayClasses: which are ours, and what we say about them.

use std::collections::{BTreeMap, BTreeSet};

use crds::GatewayParametersSpec;
use gateway_api::experimental::gatewayclasses::GatewayClass;

use crate::finding::{Aspect, Findings};
use crate::index::Index;
use crate::objects::Objects;
use crate::{ObjectKey, Settings, parameters};

/// All classes, told apart by controller.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Classes {
    ours: BTreeMap<String, Class>,
    others: BTreeSet<String>,
    implied: Option<String>,
}

/// A class of ours, judged.
#[derive(Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) generation: Option<i64>,
    pub(crate) findings: Findings,
    /// For all of its Gateways.
    pub(crate) parameters: GatewayParametersSpec,
}

/// Whose Gateways a class marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Ours,
    /// Ours, but the class is not accepted: neither are its Gateways.
    OursRefused,
    Another,
    /// There is no such GatewayClass.
    Nobody,
}

impl Classes {
    pub(crate) fn of(objects: &Objects, settings: &Settings) -> Self {
        let mut classes = Self { implied: settings.implied_class.clone(), ..Self::default() };
        for (key, class) in &objects.classes {
            if class.spec.controller_name == settings.controller_name {
                classes.ours.insert(key.name.clone(), judge(&Index::new(objects), class));
            } else {
                classes.others.insert(key.name.clone());
            }
        }
        classes
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = (&String, &Class)> {
        self.ours.iter()
    }

    /// A class of ours.
    pub(crate) fn get(&self, name: &str) -> Option<&Class> {
        self.ours.get(name)
    }

    /// The parameters of a class of ours.
    pub(crate) fn parameters(&self, class: &str) -> Option<&GatewayParametersSpec> {
        self.ours.get(class).map(|class| &class.parameters)
    }

    pub(crate) fn owner(&self, class: &str) -> Owner {
        match self.ours.get(class) {
            Some(ours) if ours.findings.first(Aspect::Accepted).is_none() => Owner::Ours,
            Some(_) => Owner::OursRefused,
            None if self.others.contains(class) => Owner::Another,
            None if self.implied.as_deref() == Some(class) => Owner::Ours,
            None => Owner::Nobody,
        }
    }
}

fn judge(index: &Index<'_>, class: &GatewayClass) -> Class {
    let mut findings = Findings::default();
    let parameters = class.spec.parameters_ref.as_ref().map(|given| {
        let namespace = given.namespace.clone().unwrap_or_default();
        parameters::resolve(index, "spec.parametersRef", &given.group, &given.kind, ObjectKey::new(namespace, &given.name))
    });
    let parameters = parameters.transpose().map_err(|finding| findings.push(finding)).ok().flatten();
    Class { generation: class.metadata.generation, findings, parameters: parameters.cloned().unwrap_or_default() }
}

/// The features served, as the conformance suite names them (`sigs.k8s.io/gateway-api/pkg/features`, 1.7.0), sorted. What is not here
/// is not served yet.
pub(crate) const SUPPORTED_FEATURES: &[&str] = &[
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "GRPCRouteRequestHeaderModifier",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructure",
    "GatewayPort8080",
    "GatewayRouteHostnameIntersectionPrecedence",
    "GatewayStaticAddresses",
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
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_features_sorted_and_once() {
        assert!(SUPPORTED_FEATURES.windows(2).all(|pair| pair[0] < pair[1]), "{SUPPORTED_FEATURES:?}");
    }
}

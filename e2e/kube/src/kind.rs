//! Kinds of objects, as the API server has them.

use kube::core::ApiResource;

/// Group, version, kind and plural.
#[derive(Clone, Copy, Debug)]
pub struct Kind(&'static str, &'static str, &'static str, &'static str);

#[expect(missing_docs, reason = "each is named after its kind")]
impl Kind {
    pub const CLUSTER_ROLE: Self = Self("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
    pub const CLUSTER_ROLE_BINDING: Self = Self("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings");
    pub const CONFIG_MAP: Self = Self("", "v1", "ConfigMap", "configmaps");
    pub const CRD: Self = Self("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
    pub const DEPLOYMENT: Self = Self("apps", "v1", "Deployment", "deployments");
    pub const EVENT: Self = Self("", "v1", "Event", "events");
    pub const GATEWAY: Self = Self("gateway.networking.k8s.io", "v1", "Gateway", "gateways");
    pub const GATEWAY_CLASS: Self = Self("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses");
    pub const GRPC_ROUTE: Self = Self("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes");
    pub const HORIZONTAL_POD_AUTOSCALER: Self = Self("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    pub const HTTP_ROUTE: Self = Self("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");
    pub const LEASE: Self = Self("coordination.k8s.io", "v1", "Lease", "leases");
    pub const LISTENER_SET: Self = Self("gateway.networking.k8s.io", "v1", "ListenerSet", "listenersets");
    pub const NAMESPACE: Self = Self("", "v1", "Namespace", "namespaces");
    pub const NODE: Self = Self("", "v1", "Node", "nodes");
    pub const POD: Self = Self("", "v1", "Pod", "pods");
    pub const POD_DISRUPTION_BUDGET: Self = Self("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
    pub const REFERENCE_GRANT: Self = Self("gateway.networking.k8s.io", "v1", "ReferenceGrant", "referencegrants");
    pub const ROLE: Self = Self("rbac.authorization.k8s.io", "v1", "Role", "roles");
    pub const ROLE_BINDING: Self = Self("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings");
    pub const SECRET: Self = Self("", "v1", "Secret", "secrets");
    pub const SERVICE: Self = Self("", "v1", "Service", "services");
    pub const SERVICE_ACCOUNT: Self = Self("", "v1", "ServiceAccount", "serviceaccounts");
    pub const UPSTREAM: Self = Self("gloo.solo.io", "v1", "Upstream", "upstreams");
    pub const VALIDATING_WEBHOOKS: Self =
        Self("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations");
}

impl Kind {
    /// As it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.2
    }

    /// Where its objects are in a namespace.
    pub(crate) fn path(self, namespace: &str) -> String {
        let Self(group, version, _, plural) = self;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        format!("{root}/namespaces/{namespace}/{plural}")
    }

    pub(crate) fn resource(self) -> ApiResource {
        let Self(group, version, kind, plural) = self;
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.into(), plural: plural.into() }
    }
}

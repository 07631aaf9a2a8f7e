//! The kind `keyward.dev/v1alpha1 GatewayParameters`: how a Gateway's proxies are run. Referred to by `spec.infrastructure.parametersRef` of a
//! Gateway, or by `spec.parametersRef` of a GatewayClass for all of its Gateways.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a Gateway's proxies are run. What is not said comes from the GatewayClass's parameters, then from Keyward's defaults.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keyward.dev",
    version = "v1alpha1",
    kind = "GatewayParameters",
    plural = "gatewayparameters",
    singular = "gatewayparameters",
    shortname = "gwp",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "How the proxies of a Gateway are run."
)]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))").message(
    "replicas and autoscaling exclude each other: remove one"
))]
#[serde(rename_all = "camelCase")]
pub struct GatewayParametersSpec {
    /// Number of proxies; 1 if nothing is said. Not together with `autoscaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Scale the proxies by their CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Image of the proxies, in place of the one that belongs to the operator's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// When to pull the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Requests and limits of each proxy, as a container has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub resources: Option<Value>,
    /// The Service in front of the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceParameters>,
    /// Certificate authorities to trust for providers, besides the system's: objects in the Gateway's namespace.
    #[serde(default, rename = "trustedCAs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub trusted_cas: Vec<TrustedCa>,
    /// Names that the proxies are to know, as a pod has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub host_aliases: Vec<HostAlias>,
    /// Merged over the proxies' pod template, last: objects field by field, lists of named things by their `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_template: Option<Value>,
}

/// Scale between two numbers of proxies.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// At least so many.
    #[schemars(range(min = 1))]
    pub min_replicas: i32,
    /// At most so many.
    #[schemars(range(min = 1))]
    pub max_replicas: i32,
    /// Per cent of the requested CPU to aim at; 80 if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization_percentage: Option<i32>,
}

/// When to pull an image.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Every time.
    Always,
    /// Where it is not there.
    IfNotPresent,
    /// It is there.
    Never,
}

/// The Service in front of the proxies.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceParameters {
    /// `LoadBalancer` if nothing is said.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// Which load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// `Local` keeps the client's address and balances only to nodes with a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
    /// Annotations of the Service, such as a cloud's load balancer wants them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How the Service is reached.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// From outside, at an address of its own.
    LoadBalancer,
    /// From inside the cluster.
    ClusterIP,
    /// At a port of every node.
    NodePort,
}

/// Where outside traffic may enter.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExternalTrafficPolicy {
    /// At every node.
    Cluster,
    /// At nodes with a proxy.
    Local,
}

/// An object with a certificate authority.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrustedCa {
    /// `ConfigMap` if nothing is said.
    #[serde(default)]
    pub kind: TrustedCaKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key with the PEM text; `ca.crt` if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// What holds a certificate authority.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustedCaKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// Names of an address.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Debug, PartialEq)]
pub struct HostAlias {
    /// The address.
    pub ip: String,
    /// Its names.
    pub hostnames: Vec<String>,
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

impl GatewayParametersSpec {
    /// These parameters, and `base` where they say nothing.
    #[must_use]
    pub fn merged_over(&self, base: &Self) -> Self {
        let or = |own: &Option<Value>, base: &Option<Value>| own.clone().or_else(|| base.clone());
        // One of the two is said at most: the more specific object decides about both.
        let (replicas, autoscaling) = match (self.replicas, &self.autoscaling) {
            (None, None) => (base.replicas, base.autoscaling.clone()),
            own => (own.0, own.1.clone()),
        };
        Self {
            replicas,
            autoscaling,
            image: self.image.clone().or_else(|| base.image.clone()),
            image_pull_policy: self.image_pull_policy.or(base.image_pull_policy),
            resources: or(&self.resources, &base.resources),
            service: self.service.clone().or_else(|| base.service.clone()),
            trusted_cas: if self.trusted_cas.is_empty() { base.trusted_cas.clone() } else { self.trusted_cas.clone() },
            host_aliases: if self.host_aliases.is_empty() { base.host_aliases.clone() } else { self.host_aliases.clone() },
            pod_template: or(&self.pod_template, &base.pod_template),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_specific_object_decides_about_replicas_and_autoscaling_together() {
        let autoscaling = Autoscaling { min_replicas: 2, max_replicas: 5, target_cpu_utilization_percentage: None };
        let base = GatewayParametersSpec { replicas: Some(3), image: Some("base".into()), ..Default::default() };
        let own = GatewayParametersSpec { autoscaling: Some(autoscaling), ..Default::default() };
        let merged = own.merged_over(&base);
        assert_eq!((merged.replicas, merged.autoscaling.is_some(), merged.image.as_deref()), (None, true, Some("base")));
    }
}

//! What runs for a Gateway: the objects that the operator applies, as manifests. Pure; it knows nothing of routes.

mod name;
mod patch;
mod pod;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use gateway_api::experimental::gateways::Gateway;
use policy::{Port, Transport};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::ObjectKey;
use crate::gateway::asked;

use name::infra_name;

/// The label by which everybody finds what belongs to a Gateway (GEP-1762).
const GATEWAY_NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
const GATEWAY_CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// The operator sees the pods that have it, and no others.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
const MANAGED_BY: &str = "keyward";
/// The proxies' port for probes and metrics.
pub(crate) const ADMIN_PORT: u16 = 15000;

/// What the operator knows and no Gateway says.
#[derive(Clone, Debug, PartialEq)]
pub struct InfraSettings {
    /// Where proxies find the operator.
    pub xds_address: String,
    /// Their image.
    pub proxy_image: String,
    /// The certificates by which they know the operator, PEM.
    pub ca_bundle: String,
}

impl Default for InfraSettings {
    fn default() -> Self {
        Self {
            xds_address: "https://keyward-operator.keyward-system.svc:18000".to_owned(),
            proxy_image: concat!("ghcr.io/keyward/keyward-proxy:", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_bundle: String::new(),
        }
    }
}

/// The objects of one Gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Infra {
    account: ObjectKey,
    objects: Vec<InfraObject>,
}

/// One object, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InfraObject {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The manifest.
    pub value: Value,
}

impl Infra {
    /// All objects, in the order in which they are best applied.
    pub fn objects(&self) -> Vec<InfraObject> {
        self.objects.clone()
    }

    /// The ServiceAccount of the proxies, which has the name of everything else.
    pub fn service_account(&self) -> ObjectKey {
        self.account.clone()
    }
}

/// Namespace and name of everything that runs for a Gateway.
pub(crate) fn account(gateway: &Gateway) -> ObjectKey {
    let key = ObjectKey::of(&gateway.metadata);
    let name = infra_name(&key, &gateway.spec.gateway_class_name);
    ObjectKey::new(key.namespace, name)
}

/// What a Gateway with these ports and parameters needs; or what is wrong with the parameters.
pub(crate) fn of(
    gateway: &Gateway,
    ports: &BTreeSet<Port>,
    parameters: &crds::GatewayParametersSpec,
    settings: &InfraSettings,
) -> Result<Infra, String> {
    let writer = Writer::new(gateway);
    let mut objects = vec![
        writer.object("v1", "ServiceAccount", json!({ "automountServiceAccountToken": false })),
        writer.object("v1", "ConfigMap", json!({ "data": { "ca.crt": settings.ca_bundle } })),
        writer.object("apps/v1", "Deployment", deployment(&writer, parameters, settings)?),
        writer.object("policy/v1", "PodDisruptionBudget", disruption_budget(&writer)),
    ];
    // A Service needs a port: without one that can be served there is nothing to reach.
    if !ports.is_empty() {
        objects.push(service(&writer, ports, parameters, asked(&gateway.spec).first()));
    }
    if let Some(autoscaling) = &parameters.autoscaling {
        objects.push(writer.object("autoscaling/v2", "HorizontalPodAutoscaler", autoscaler(&writer, autoscaling)));
    }
    Ok(Infra { account: writer.key.clone(), objects })
}

/// What all objects of a Gateway share.
struct Writer {
    /// Namespace, and the name of every object.
    key: ObjectKey,
    /// Without those that the Gateway's author adds: a Deployment's selector cannot change.
    selector: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner: Value,
}

impl Writer {
    fn new(gateway: &Gateway) -> Self {
        let (key, class) = (ObjectKey::of(&gateway.metadata), &gateway.spec.gateway_class_name);
        let name = infra_name(&key, class);
        let selector = BTreeMap::from([(GATEWAY_NAME_LABEL.to_owned(), name::label(&key.name)), (INSTANCE_LABEL.to_owned(), name.clone())]);
        let infrastructure = gateway.spec.infrastructure.as_ref();
        let mut labels = infrastructure.and_then(|given| given.labels.clone()).unwrap_or_default();
        labels.extend(selector.clone());
        labels.extend([
            (GATEWAY_CLASS_LABEL.to_owned(), name::label(class)),
            ("app.kubernetes.io/name".to_owned(), "keyward-proxy".to_owned()),
            (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
        ]);
        let owner = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "name": gateway.metadata.name,
            "uid": gateway.metadata.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        });
        let annotations = infrastructure.and_then(|given| given.annotations.clone()).unwrap_or_default();
        Self { key: ObjectKey::new(key.namespace, name), selector, labels, annotations, owner }
    }

    /// The labels without which a pod would be no proxy of the Gateway to somebody.
    fn found_by(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector.clone();
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
        labels
    }

    /// Adds the metadata to an object's own fields.
    fn object(&self, api_version: &str, kind: &str, fields: Value) -> InfraObject {
        let ObjectKey { namespace, name } = self.key.clone();
        let mut value = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": self.labels,
                "annotations": self.annotations,
                "ownerReferences": [self.owner],
            },
        });
        if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
            value.extend(fields);
        }
        InfraObject { kind: kind.to_owned(), namespace, name, value }
    }
}

fn deployment(writer: &Writer, parameters: &crds::GatewayParametersSpec, settings: &InfraSettings) -> Result<Value, String> {
    let mut template = pod::template(writer, parameters, settings);
    if let Some(patch) = &parameters.pod_template {
        let base = template.clone();
        patch::merge(&mut template, patch);
        patch::check(&base, &template, &writer.found_by())?;
    }
    let mut spec = Map::new();
    // An autoscaler owns the number: two writers would fight. Whoever applies this sees to it that the number outlives the change.
    if parameters.autoscaling.is_none() {
        spec.insert("replicas".to_owned(), json!(parameters.replicas.unwrap_or(1)));
    }
    spec.insert("selector".to_owned(), json!({ "matchLabels": writer.selector }));
    // A new proxy is ready before an old one goes.
    spec.insert("strategy".to_owned(), json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } }));
    spec.insert("template".to_owned(), template);
    Ok(json!({ "spec": spec }))
}

/// By what may be missing and not by what must be there: with one replica, the latter would hold up a node's drain for ever.
fn disruption_budget(writer: &Writer) -> Value {
    json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": writer.selector } } })
}

/// `address` is the one that a load balancer is asked for.
fn service(writer: &Writer, ports: &BTreeSet<Port>, parameters: &crds::GatewayParametersSpec, address: Option<&IpAddr>) -> InfraObject {
    let given = parameters.service.clone().unwrap_or_default();
    let kind = given.kind.unwrap_or(crds::gateway_parameters::ServiceType::LoadBalancer);
    let ports: Vec<Value> = ports.iter().map(service_port).collect();
    let mut spec = json!({ "type": kind, "selector": writer.selector, "ports": ports });
    let address = address.filter(|_| kind == crds::gateway_parameters::ServiceType::LoadBalancer);
    let optional = [
        ("loadBalancerIP", address.map(|address| json!(address))),
        ("loadBalancerClass", given.load_balancer_class.map(|class| json!(class))),
        ("externalTrafficPolicy", given.external_traffic_policy.map(|policy| json!(policy))),
    ];
    for (field, value) in optional {
        if let (Some(value), Some(spec)) = (value, spec.as_object_mut()) {
            spec.insert(field.to_owned(), value);
        }
    }
    let mut object = writer.object("v1", "Service", json!({ "spec": spec }));
    if let Some(annotations) = object.value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.extend(given.annotations.into_iter().map(|(name, value)| (name, json!(value))));
    }
    object
}

/// Names of a Service's ports are unique, and its numbers are per protocol.
fn service_port(Port { number, transport }: &Port) -> Value {
    let name = match transport {
        Transport::Tcp => format!("port-{number}"),
        Transport::Udp => format!("port-{number}-udp"),
    };
    json!({ "name": name, "port": number, "targetPort": number, "protocol": transport.as_str() })
}

fn autoscaler(writer: &Writer, given: &crds::gateway_parameters::Autoscaling) -> Value {
    let target = given.target_cpu_utilization_percentage.unwrap_or(80);
    json!({ "spec": {
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": writer.key.name },
        "minReplicas": given.min_replicas,
        "maxReplicas": given.max_replicas,
        "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": target } } }],
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> Gateway {
        serde_json::from_value(json!({
            "metadata": { "namespace": "ns", "name": name, "uid": "u" },
            "spec": {
                "gatewayClassName": "keyward",
                "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }],
                "infrastructure": { "labels": { "team": "a", INSTANCE_LABEL: "mine" }, "annotations": { "note": "b" } },
            },
        }))
        .unwrap()
    }

    fn infra(gateway: &Gateway, parameters: &crds::GatewayParametersSpec) -> Infra {
        of(gateway, &BTreeSet::from([Port::tcp(80)]), parameters, &InfraSettings::default()).unwrap()
    }

    fn find<'i>(infra: &'i Infra, kind: &str) -> &'i Value {
        &infra.objects.iter().find(|object| object.kind == kind).unwrap().value
    }

    #[test]
    fn names_and_labels_of_the_longest_gateway_name_fit() {
        let infra = infra(&gateway(&"a".repeat(253)), &Default::default());
        for object in infra.objects() {
            assert!(object.name.len() <= 63, "{}", object.name);
            let labels = object.value["metadata"]["labels"].as_object().unwrap().values();
            assert!(labels.into_iter().all(|value| value.as_str().unwrap().len() <= 63));
        }
    }

    #[test]
    fn copies_the_gateways_labels_and_annotations_but_never_over_its_selector() {
        let infra = infra(&gateway("gw"), &Default::default());
        for metadata in [&find(&infra, "Service")["metadata"], &find(&infra, "Deployment")["spec"]["template"]["metadata"]] {
            assert_eq!((&metadata["labels"]["team"], &metadata["annotations"]["note"]), (&json!("a"), &json!("b")));
            assert_eq!(metadata["labels"][INSTANCE_LABEL], "gw-keyward");
        }
    }

    #[test]
    fn asks_the_load_balancer_for_the_address_that_the_gateway_asks_for() {
        let mut given = gateway("gw");
        let service = |given: &Gateway| find(&infra(given, &Default::default()), "Service")["spec"].clone();
        assert!(service(&given).get("loadBalancerIP").is_none());
        given.spec.addresses = serde_json::from_value(json!([{ "type": "IPAddress" }, { "value": "192.0.2.1" }])).unwrap();
        assert_eq!(service(&given)["loadBalancerIP"], "192.0.2.1");
    }

    #[test]
    fn a_pod_template_is_merged_by_name() {
        let patch = json!({ "spec": { "nodeSelector": { "a": "b" }, "containers": [{ "name": "proxy", "env": [{ "name": "RUST_LOG", "value": "debug" }] }] } });
        let parameters = crds::GatewayParametersSpec { pod_template: Some(patch), ..Default::default() };
        let infra = infra(&gateway("gw"), &parameters);
        let spec = &find(&infra, "Deployment")["spec"]["template"]["spec"];
        assert_eq!(spec["nodeSelector"]["a"], "b");
        let proxy = &spec["containers"][0];
        assert!(proxy["image"].is_string() && proxy["env"].as_array().unwrap().iter().any(|one| one["name"] == "RUST_LOG"));
    }

    #[test]
    fn a_pod_template_that_is_none_is_the_authors_mistake() {
        let parameters = crds::GatewayParametersSpec { pod_template: Some(json!({ "spec": { "containers": 3 } })), ..Default::default() };
        let error = of(&gateway("gw"), &BTreeSet::new(), &parameters, &InfraSettings::default()).unwrap_err();
        assert!(error.contains("podTemplate"), "{error}");
    }

    #[test]
    fn a_pod_template_cannot_hide_the_proxies_from_the_operator() {
        let patch = json!({ "metadata": { "labels": { MANAGED_BY_LABEL: "Helm" } } });
        let parameters = crds::GatewayParametersSpec { pod_template: Some(patch), ..Default::default() };
        let error = of(&gateway("gw"), &BTreeSet::new(), &parameters, &InfraSettings::default()).unwrap_err();
        assert!(error.contains("found"), "{error}");
    }

    #[test]
    fn an_autoscaler_takes_over_the_number_of_replicas() {
        let autoscaling =
            crds::gateway_parameters::Autoscaling { min_replicas: 2, max_replicas: 4, target_cpu_utilization_percentage: None };
        let parameters = crds::GatewayParametersSpec { autoscaling: Some(autoscaling), ..Default::default() };
        let infra = infra(&gateway("gw"), &parameters);
        assert!(find(&infra, "Deployment")["spec"].get("replicas").is_none());
        assert_eq!(find(&infra, "HorizontalPodAutoscaler")["spec"]["maxReplicas"], 4);
    }
}

//! Where a Gateway is reached: the addresses of the Service in front of its proxies.

use k8s_openapi::api::core::v1::Service;
use serde::Serialize;

/// An address in a Gateway's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayAddress {
    /// `IPAddress` or `Hostname`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub value: String,
}

/// A load balancer's addresses, else the one inside the cluster. None until there is one.
pub(super) fn of_service(service: &Service) -> Vec<GatewayAddress> {
    let spec = service.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("LoadBalancer") {
        let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
        let address = |one: &k8s_openapi::api::core::v1::LoadBalancerIngress| match (&one.ip, &one.hostname) {
            (Some(ip), _) => Some(address("IPAddress", ip)),
            (None, Some(hostname)) => Some(address("Hostname", hostname)),
            (None, None) => None,
        };
        return ingress.into_iter().flatten().filter_map(address).collect();
    }
    let assigned = spec.cluster_ips.into_iter().flatten().filter(|ip| !ip.is_empty() && ip != "None");
    assigned.map(|ip| address("IPAddress", &ip)).collect()
}

fn address(kind: &str, value: &str) -> GatewayAddress {
    GatewayAddress { kind: kind.to_owned(), value: value.to_owned() }
}

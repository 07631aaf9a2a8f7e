//! Where a Gateway is reached: the addresses of the Service in front of its proxies, and those that the Gateway asks for.

use std::net::IpAddr;

use gateway_api::experimental::gateways as api;
use k8s_openapi::api::core::v1::Service;
use serde::Serialize;

use crate::finding::Finding;

const ADDRESSES: &str = "spec.addresses";
/// Why a Gateway is not accepted (`GatewayReasonUnsupportedAddress`).
pub(super) const UNSUPPORTED_ADDRESS: &str = "UnsupportedAddress";

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

/// The addresses that a Gateway asks for. "When a value is unspecified, an implementation SHOULD automatically assign an address"
/// (GatewaySpecAddress.value), which happens anyway: an entry without a value asks for nothing.
pub(crate) fn asked(spec: &api::GatewaySpec) -> Vec<IpAddr> {
    let given = spec.addresses.iter().flatten().filter(|one| is_ip_address(one));
    given.filter_map(|one| one.value.as_deref()?.parse().ok()).collect()
}

/// IPAddress is the default type.
fn is_ip_address(given: &api::GatewayAddresses) -> bool {
    given.r#type.as_deref().is_none_or(|kind| kind == "IPAddress")
}

/// What nobody could give. What is written there is not repeated: it may be anything.
pub(super) fn findings(spec: &api::GatewaySpec) -> impl Iterator<Item = Finding> {
    spec.addresses.iter().flatten().enumerate().filter_map(|(nth, given)| {
        let field = |below: &str| format!("{ADDRESSES}[{nth}].{below}");
        let unsupported = |below: &str, message: &str| Some(Finding::accepted(field(below), UNSUPPORTED_ADDRESS, message));
        match given.value.as_deref().unwrap_or_default() {
            _ if !is_ip_address(given) => unsupported("type", "only addresses of type IPAddress can be asked for: use that, or remove it"),
            "" => None,
            value if value.parse::<IpAddr>().is_ok() => None,
            _ => unsupported("value", "the value is not an IP address: correct it, or leave it away to get any address"),
        }
    })
}

/// Without a cluster, addresses are those of the machine.
pub(super) fn without_effect(spec: &api::GatewaySpec) -> Option<Finding> {
    let message = "addresses are given in a cluster only: spec.addresses has no effect";
    spec.addresses.iter().flatten().next().map(|_| Finding::warning(ADDRESSES, UNSUPPORTED_ADDRESS, message))
}

/// Why the Gateway does not have all that it asks for: a Service asks for one address, and gets it or not. "The implementation SHOULD
/// provide prescriptive information on which address is causing the problem" (GatewayReasonAddressNotUsable).
pub(super) fn unusable(asked: &[IpAddr], addresses: &[GatewayAddress]) -> Option<String> {
    let has = |ip: &IpAddr| addresses.iter().any(|address| address.value.parse::<IpAddr>() == Ok(*ip));
    let missing = asked.iter().find(|ip| !has(ip))?;
    Some(match asked {
        [_] => {
            format!("the load balancer did not give {missing} to the Gateway's Service: ask for an address that it has and that is free")
        }
        _ => format!("a Gateway can have one address, and {missing} is not it: ask for one that the load balancer has and that is free"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(addresses: serde_json::Value) -> api::GatewaySpec {
        serde_json::from_value(json!({ "gatewayClassName": "c", "listeners": [], "addresses": addresses })).unwrap()
    }

    #[test]
    fn asks_for_ip_addresses_with_a_value_alone() {
        let spec = spec(json!([{ "type": "IPAddress" }, { "value": "192.0.2.1" }, { "type": "Hostname", "value": "a.example.com" }]));
        assert_eq!(asked(&spec), [IpAddr::from([192, 0, 2, 1])]);
        let fields: Vec<String> = findings(&spec).map(|finding| finding.field).collect();
        assert_eq!(fields, ["spec.addresses[2].type"]);
    }

    #[test]
    fn refuses_a_value_that_is_no_address_and_does_not_repeat_it() {
        let found: Vec<Finding> = findings(&spec(json!([{ "value": "sk-canary" }]))).collect();
        assert!(found.len() == 1 && !format!("{found:?}").contains("canary"), "{found:?}");
    }

    #[test]
    fn names_the_address_that_was_not_given() {
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let has = [address("IPAddress", "192.0.2.1")];
        assert_eq!(unusable(&[one], &has), None);
        assert!(unusable(&[other, one], &has).is_some_and(|message| message.contains("192.0.2.2")));
        assert!(unusable(&[one], &[]).is_some_and(|message| message.contains("192.0.2.1")));
    }
}

//! Gateways whose GatewayClass does not exist: nobody serves them. One that was ours before its class went is reached as before, for as long as
//! what runs for it does.

use gateway_api::experimental::gateways as api;

use super::address::{self, GatewayAddress};
use crate::ObjectKey;
use crate::finding::{About, Finding, Problem};
use crate::index::Index;

/// Such a Gateway.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) generation: Option<i64>,
    /// In a cluster: where what may still run for it is reached.
    pub(crate) addresses: Vec<GatewayAddress>,
    pub(crate) problem: Problem,
}

impl Orphan {
    /// `account` has the name of what runs for it; the class that it names now may be another than the one after which that is called.
    pub(super) fn of(index: &Index<'_>, key: &ObjectKey, gateway: &api::Gateway, account: Option<&ObjectKey>) -> Self {
        Self {
            generation: gateway.metadata.generation,
            addresses: account.and_then(|account| index.service(account)).map(address::of_service).unwrap_or_default(),
            problem: unknown_class(key, &gateway.spec.gateway_class_name),
        }
    }
}

fn unknown_class(key: &ObjectKey, class: &str) -> Problem {
    let message = format!("there is no GatewayClass {class}: nobody serves this Gateway; name an existing one in gatewayClassName");
    let about = About { kind: "Gateway", namespace: &key.namespace, name: &key.name };
    Finding::accepted("spec.gatewayClassName", "UnknownGatewayClass", message).problem(about, "Accepted")
}

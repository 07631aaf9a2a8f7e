//! ReferenceGrants: who may refer into another namespace. "ReferenceGrant … is effectively an allow list": what no grant allows is refused.

use gateway_api::experimental::referencegrants::{ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo};

use crate::ObjectKey;

/// The group of Gateway API's kinds.
pub(crate) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// The group of Upstreams.
pub(crate) const GLOO_GROUP: &str = "gloo.solo.io";

/// Who refers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referrer<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
}

/// What is referred to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referent<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) key: &'a ObjectKey,
}

/// Whether a grant allows the reference; it must be one of the namespace that is referred to.
pub(crate) fn allows(grant: &ReferenceGrant, from: Referrer<'_>, to: Referent<'_>) -> bool {
    grant.spec.from.iter().any(|allowed| matches_from(allowed, from)) && grant.spec.to.iter().any(|allowed| matches_to(allowed, to))
}

fn matches_from(allowed: &ReferenceGrantFrom, from: Referrer<'_>) -> bool {
    allowed.group == from.group && allowed.kind == from.kind && allowed.namespace == from.namespace
}

/// "When unspecified, this policy refers to all resources of the specified Group and Kind in the local namespace" (ReferenceGrantTo.name).
fn matches_to(allowed: &ReferenceGrantTo, to: Referent<'_>) -> bool {
    let named = allowed.name.as_deref().filter(|name| !name.is_empty());
    allowed.group == to.group && allowed.kind == to.kind && named.is_none_or(|name| name == to.key.name)
}

/// The words for a reference that no grant allows.
pub(crate) fn refusal(from: Referrer<'_>, to: Referent<'_>) -> String {
    format!(
        "{kind} {key} is in another namespace and no ReferenceGrant there allows it: create a ReferenceGrant in namespace {namespace} from \
         {from_group} {from_kind} of namespace {from_namespace} to {group}{kind} {name}",
        kind = to.kind,
        key = to.key,
        namespace = to.key.namespace,
        from_group = from.group,
        from_kind = from.kind,
        from_namespace = from.namespace,
        group = if to.group.is_empty() { String::new() } else { format!("{} ", to.group) },
        name = to.key.name,
    )
}

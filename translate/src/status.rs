//! What statuses say, in types of our own that serialize as the API's do. Conditions carry the generation that was judged and `now`; whoever
//! writes them keeps the old time where nothing changed, and leaves what other controllers wrote alone.

mod ancestor;
mod gateway;
mod listener_set;
mod orphan;
mod problem;
mod programmed;
mod route;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

pub(crate) use ancestor::policy_status;
pub use ancestor::{PolicyAncestorStatus, PolicyStatus};
pub(crate) use gateway::View;
pub(crate) use orphan::{gateway_without_class, set_without_class, set_without_gateway};
pub(crate) use problem::{of, of_gateway, of_route, of_set, of_upstream};
pub(crate) use programmed::digest;
pub(crate) use route::{Standing, route_status};

use crate::class::{Class, SUPPORTED_FEATURES};
use crate::finding::{Aspect, Findings};
use crate::gateway::GatewayAddress;
use crate::model::ParentRef;
use crate::upstream::Judged;
use crate::{Kind, ObjectKey, RouteKind};

/// The statuses of everything that is ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statuses {
    /// GatewayClasses of ours, by name.
    pub gateway_classes: BTreeMap<String, GatewayClassStatus>,
    /// Gateways of ours.
    pub gateways: BTreeMap<ObjectKey, GatewayStatus>,
    /// ListenerSets that refer to a Gateway of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub listener_sets: BTreeMap<ObjectKey, ListenerSetStatus>,
    /// HTTPRoutes with a parent of ours.
    pub http_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// GRPCRoutes with a parent of ours.
    pub grpc_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// TLSRoutes with a parent of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tls_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// TCPRoutes with a parent of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tcp_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// UDPRoutes with a parent of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub udp_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// Upstreams that are AI providers or meant to be, and others in which credentials stand.
    pub upstreams: BTreeMap<ObjectKey, UpstreamStatus>,
    /// BackendTLSPolicies with an ancestor of ours.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub backend_tls_policies: BTreeMap<ObjectKey, PolicyStatus>,
}

impl Statuses {
    /// The routes of a kind; `None`: it is none of routes.
    pub(crate) fn routes_mut(&mut self, kind: Kind) -> Option<&mut BTreeMap<ObjectKey, RouteStatus>> {
        let Kind::Route(kind) = kind else { return None };
        Some(match kind {
            RouteKind::Http => &mut self.http_routes,
            RouteKind::Grpc => &mut self.grpc_routes,
            RouteKind::Tls => &mut self.tls_routes,
            RouteKind::Tcp => &mut self.tcp_routes,
            RouteKind::Udp => &mut self.udp_routes,
        })
    }
}

/// `GatewayClass.status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassStatus {
    /// `Accepted`.
    pub conditions: Vec<Condition>,
    /// Sorted by name.
    pub supported_features: Vec<SupportedFeature>,
}

/// An entry of `GatewayClass.status.supportedFeatures`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupportedFeature {
    /// As `pkg/features` of Gateway API names it.
    pub name: String,
}

/// Our part of `Gateway.status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// `Accepted`, `Programmed`; `ResolvedRefs` and `InsecureFrontendValidationMode` where there is something to say.
    pub conditions: Vec<Condition>,
    /// In a cluster: where it is reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// One per listener of its own, in the order of the spec.
    pub listeners: Vec<ListenerStatus>,
    /// How many ListenerSets are accepted; `None`: none refers to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
}

/// Our part of `ListenerSet.status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetStatus {
    /// `Accepted`, `Programmed`.
    pub conditions: Vec<Condition>,
    /// One per listener, in the order of the spec; none, if it may not attach.
    pub listeners: Vec<ListenerStatus>,
}

/// An entry of `Gateway.status.listeners`, and of `ListenerSet.status.listeners`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Of the listener.
    pub name: String,
    /// Kinds that may attach; present even if there are none.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// Accepted routes on this listener.
    pub attached_routes: i32,
    /// `Accepted`, `Conflicted`, `ResolvedRefs`, `Programmed`.
    pub conditions: Vec<Condition>,
}

/// A kind of routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteGroupKind {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// Our entries of a route's `status.parents`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouteStatus {
    /// One per parentRef to a Gateway of ours, or to a ListenerSet of one, in the order of the spec.
    pub parents: Vec<RouteParentStatus>,
}

/// What a route is to one parent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parentRef, with group and kind.
    pub parent_ref: ParentRef,
    /// Ours.
    pub controller_name: String,
    /// `Accepted`, `ResolvedRefs`, and `PartiallyInvalid` where it is True.
    pub conditions: Vec<Condition>,
}

/// Our part of `Upstream.status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// `Accepted`, `ResolvedRefs`; the latter not where the Upstream is refused before its references are looked at, and neither where it is
    /// of another type than `ai`. `InlineCredentials` where it is True.
    pub conditions: Vec<Condition>,
    /// For `status.statuses.NAMESPACE`, NAMESPACE being the controller's: where users of Gloo look. `None`: it is of another type than `ai`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gloo: Option<GlooReport>,
}

impl UpstreamStatus {
    /// Whether there is nothing in it, as of one that is Gloo's.
    pub(crate) fn says_nothing(&self) -> bool {
        self.conditions.is_empty() && self.gloo.is_none()
    }
}

/// A report in the words of Gloo (`status.proto` of solo-kit).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GlooReport {
    /// Outcome.
    pub state: GlooState,
    /// Why it is not `Accepted`; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `keyward`.
    pub reported_by: String,
}

/// The outcome in a [`GlooReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum GlooState {
    /// Served as written.
    Accepted,
    /// Not served.
    Rejected,
    /// Served, but something needs attention; its requests may be refused.
    Warning,
}

pub(crate) fn class_status(class: &Class, now: Timestamp) -> GatewayClassStatus {
    let stamp = Stamp { now, generation: class.generation };
    let supported_features = SUPPORTED_FEATURES.iter().map(|name| SupportedFeature { name: (*name).to_owned() }).collect();
    GatewayClassStatus { conditions: vec![stamp.judged(&class.findings, Aspect::Accepted)], supported_features }
}

pub(crate) fn upstream_status(upstream: &Judged, now: Timestamp) -> UpstreamStatus {
    let stamp = Stamp { now, generation: upstream.generation };
    let inline = stamp.inline_credentials(&upstream.findings);
    if !upstream.is_ai {
        return UpstreamStatus { conditions: inline.into_iter().collect(), gloo: None };
    }
    let aspects = [Some(Aspect::Accepted), upstream.backend.is_ok().then_some(Aspect::ResolvedRefs)];
    let judged = aspects.into_iter().flatten().map(|aspect| stamp.judged(&upstream.findings, aspect));
    UpstreamStatus { conditions: judged.chain(inline).collect(), gloo: Some(gloo_report(&upstream.findings)) }
}

fn gloo_report(findings: &Findings) -> GlooReport {
    let warnings = || [Aspect::Accepted, Aspect::ResolvedRefs].map(|aspect| findings.warnings(aspect)).join("\n").trim().to_owned();
    let (state, reason) = match (findings.failing(Aspect::Accepted), findings.failing(Aspect::ResolvedRefs)) {
        (Some((_, message)), _) => (GlooState::Rejected, message),
        (None, Some((_, message))) => (GlooState::Warning, message),
        (None, None) => match warnings() {
            none if none.is_empty() => (GlooState::Accepted, none),
            some => (GlooState::Warning, some),
        },
    };
    GlooReport { state, reason, reported_by: "keyward".to_owned() }
}

/// What all conditions of one object share.
#[derive(Clone, Copy)]
struct Stamp {
    now: Timestamp,
    generation: Option<i64>,
}

impl Aspect {
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Conflicted => "Conflicted",
            Self::InlineCredentials => "InlineCredentials",
        }
    }
}

impl Stamp {
    fn condition(self, type_: &str, status: bool, reason: &str, message: impl Into<String>) -> Condition {
        Condition {
            type_: type_.to_owned(),
            status: if status { "True" } else { "False" }.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
            observed_generation: self.generation,
            last_transition_time: Time(self.now),
        }
    }

    /// True unless a mistake says otherwise; the reason of a True condition is its type, as Gateway API has it.
    fn judged(self, findings: &Findings, aspect: Aspect) -> Condition {
        match findings.failing(aspect) {
            Some((reason, message)) => self.condition(aspect.condition(), false, reason, message),
            None => self.condition(aspect.condition(), true, aspect.condition(), findings.warnings(aspect)),
        }
    }

    /// True where there are some; who has none is told nothing.
    fn inline_credentials(self, findings: &Findings) -> Option<Condition> {
        let aspect = Aspect::InlineCredentials;
        let finding = findings.iter().find(|finding| finding.aspect == aspect)?;
        Some(self.condition(aspect.condition(), true, finding.reason, format!("{}: {}", finding.field, finding.message)))
    }
}

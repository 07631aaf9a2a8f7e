//! From Kubernetes objects to what proxies serve and what statuses say: one pure function.
//!
//! ```text
//! Snapshot ─► Index ─┬─► gateway::judge   listeners: valid, conflicting, allowed kinds and namespaces
//!                    ├─► upstream::judge  provider, address, credential
//!                    └─► route::compile   rules, with every reference resolved
//!                             └─► attach  parentRefs × listeners ─┬─► assemble ─► Config per Gateway
//!                                                                 └─► status   ─► Statuses, Problems
//! ```
//!
//! A user's mistake is a value: it becomes a condition, a [`Problem`] in the same words, and a rule that refuses. Nothing here does IO
//! or reads a clock or the environment; nothing fails but the reading of a [`Route`] that no version of the API allows.

mod assemble;
mod attach;
mod class;
mod finding;
mod gateway;
mod grant;
mod index;
mod infra;
mod model;
mod parameters;
mod route;
mod snapshot;
mod status;
mod translator;
mod upstream;

pub use finding::Problem;
pub use gateway::GatewayAddress;
pub use infra::{Infra, InfraObject, InfraSettings};
/// The time in conditions: the type that k8s-openapi's `meta::v1::Time` wraps.
pub use k8s_openapi::jiff::Timestamp;
pub use model::{ParentRef, Route};
pub use snapshot::{ClusterSettings, ObjectKey, Proxies, Settings, Snapshot, Translation};
pub use status::{
    GatewayClassStatus, GatewayStatus, GlooReport, GlooState, ListenerStatus, RouteGroupKind, RouteParentStatus, RouteStatus, Statuses,
    SupportedFeature, UpstreamStatus,
};
pub use translator::{ConfigChange, Kind, Object, Status, Translator, Update};
pub use upstream::{ALLOWED_HOSTS_ANNOTATION, PLAINTEXT_ANNOTATION};

use index::Index;

/// Translates the whole picture: a configuration per Gateway of ours, the statuses of everything of ours, and all problems.
pub fn translate(snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Translation {
    let index = Index::new(snapshot);
    let classes = class::Classes::of(&index, snapshot, settings);
    let gateways = gateway::judge_all(&index, &classes, snapshot, settings);
    let upstreams = upstream::judge_all(&index, snapshot);
    let routes = route::compile_all(&index, &upstreams, snapshot);
    let attachments = attach::attach_all(&index, &gateways, &routes.routes);
    let configs = assemble::configs(&gateways, &routes, &attachments);
    let facts = status::Facts::of(&configs, &snapshot.proxies);
    let world = status::World { settings, now, classes: &classes, gateways: &gateways, upstreams: &upstreams, facts: &facts };
    Translation {
        infra: gateways.ours.iter().filter_map(|(key, gateway)| Some((key.clone(), gateway.infra.clone()?))).collect(),
        statuses: status::statuses(&world, &routes.routes, &attachments),
        problems: status::problems(&world, &routes.routes, &attachments),
        configs,
    }
}

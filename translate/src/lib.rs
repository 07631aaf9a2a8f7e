//! From Kubernetes objects to what proxies serve and what statuses say: one pure function.
//!
//! ```text
//! Objects ─► class ─┬─► gateway::judge   listeners, also of ListenerSets: valid, conflicting, allowed kinds and namespaces
//!    (Index)        ├─► upstream::judge  provider, address, credential
//!                   ├─► backend_tls      which Services are spoken to in TLS, and how they are verified
//!                   └─► route::compile   rules, with every reference resolved
//!                         └─► attach     parentRefs × listeners ─► roster (conflicts, counts) ─┬─► serving ─► Config per Gateway
//!                                                                  supply (backends) ─────────┘
//!                                                                                  └─► status ─► Statuses, Problems
//! ```
//!
//! Each judgement is a [`memo::Memo`]ry with all that it looked at ([`index::Index`] notes it), so that a change makes anew only what looked
//! at it: [`Translator`]. The function [`translate`] is that, fed once.
//!
//! A user's mistake is a value: it becomes a condition, a [`Problem`] in the same words, and a rule that refuses. Nothing here does IO
//! or reads a clock or the environment; nothing fails but the reading of a [`Route`] that no version of the API allows.

mod attach;
mod authority;
mod backend_tls;
mod claims;
mod class;
mod finding;
mod gateway;
mod grant;
mod index;
mod infra;
mod inline;
mod memo;
mod model;
mod object;
mod objects;
mod parameters;
mod roster;
mod route;
mod serving;
mod snapshot;
mod status;
mod supply;
mod translator;
mod update;
mod upstream;

pub use backend_tls::BackendTlsPolicy;
pub use finding::Problem;
pub use gateway::GatewayAddress;
pub use infra::{Infra, InfraObject, InfraSettings};
pub use inline::{InlineCount, InlineCredentials};
/// The time in conditions: the type that k8s-openapi's `meta::v1::Time` wraps.
pub use k8s_openapi::jiff::Timestamp;
pub use model::{ListenerSet, ParentRef, Route, RouteKind};
pub use object::{Kind, Object};
pub use snapshot::{ClusterSettings, ObjectKey, Proxies, Settings, Snapshot, Translation};
pub use status::{
    GatewayClassStatus, GatewayStatus, GlooReport, GlooState, ListenerSetStatus, ListenerStatus, PolicyAncestorStatus, PolicyStatus,
    RouteGroupKind, RouteParentStatus, RouteStatus, Statuses, SupportedFeature, UpstreamStatus,
};
pub use translator::Translator;
pub use update::{ConfigChange, Status, Update};
pub use upstream::{ALLOWED_HOSTS_ANNOTATION, PLAINTEXT_ANNOTATION};

/// Translates the whole picture: a configuration per Gateway of ours, the statuses of everything of ours, and all problems.
pub fn translate(snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Translation {
    let mut translator = Translator::at(settings.clone(), now);
    translator.set_all(snapshot);
    let update = translator.translate();
    Translation {
        configs: translator.configs(),
        statuses: update.all_statuses(),
        problems: update.all_problems(),
        infra: update.all_infra(),
    }
}

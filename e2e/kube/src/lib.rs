//! What tests on a real cluster share. The cluster is there already, with Keyward installed as a user installs it, and this program runs
//! where its addresses are.
//!
//! ```text
//! Cluster ─► Namespace (gone when dropped) ─► manifests, Provider ─► gateway's address ─► requests, Traffic
//!    ├─ Operator, Webhook (Deployed: replicas, logs, metrics), Channel (a proxy's side of the config channel), Part (a process)
//!    └─ Attempt (a write that is not kept) ─► Answer, Reviews (many of them, under which nothing may fail), AuditLog
//! ```

mod attempt;
mod audit_log;
mod backend;
pub mod bench;
mod channel;
mod cluster;
mod condition;
mod deployed;
mod dns;
mod kind;
mod kustomize;
pub mod manifests;
mod metrics;
mod namespace;
mod operator;
mod own_webhook;
mod part;
mod port_forward;
mod provider;
mod reviews;
mod served;
mod token;
mod traffic;
mod wait;
mod webhook;

pub use attempt::{Answer, Attempt};
pub use audit_log::AuditLog;
pub use backend::{Speaks, udp_echo};
pub use channel::{Channel, resources};
pub use cluster::{Cluster, RunningPod, Said};
pub use condition::{condition, is_current, says};
pub use deployed::{Deployed, SYSTEM};
pub use dns::HostName;
pub use kind::Kind;
pub use metrics::Page;
pub use namespace::{Namespace, PORT};
pub use operator::Operator;
pub use own_webhook::{Different, OwnWebhook};
pub use part::{Paused, api_server, is_ours, process_of_pod};
pub use port_forward::PortForward;
pub use provider::Provider;
pub use reviews::Reviews;
pub use served::{is_served, served_chat};
pub use token::{AUDIENCE, expired};
pub use traffic::Traffic;
pub use wait::{holds_for, wait_until};
pub use webhook::{Away, Excluding, Webhook};

use std::time::Duration;

/// What happens soon, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(15);
/// What needs a pod to start or to end.
pub const POD: Duration = Duration::from_secs(60);

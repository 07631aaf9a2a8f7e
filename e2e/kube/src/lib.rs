//! What tests on a real cluster share. The cluster is there already, with Keyward installed as a user installs it, and this program runs
//! where its addresses are.
//!
//! ```text
//! Cluster ─► Namespace (gone when dropped) ─► manifests, Provider ─► gateway's address ─► requests, Traffic
//!    └─ Operator (replicas, logs, metrics), Channel (a proxy's side of the config channel), Part (a process of the cluster)
//! ```

pub mod bench;
mod channel;
mod cluster;
mod condition;
mod dns;
mod kind;
pub mod manifests;
mod metrics;
mod namespace;
mod operator;
mod part;
mod port_forward;
mod provider;
mod token;
mod traffic;
mod wait;

pub use channel::{Channel, resources};
pub use cluster::{Cluster, RunningPod};
pub use condition::{condition, is_current, says};
pub use dns::HostName;
pub use kind::Kind;
pub use metrics::Page;
pub use namespace::{Namespace, PORT};
pub use operator::{Operator, SYSTEM};
pub use part::{Paused, api_server, is_ours, process_of_pod};
pub use port_forward::PortForward;
pub use provider::Provider;
pub use token::{AUDIENCE, expired};
pub use traffic::Traffic;
pub use wait::{holds_for, wait_until};

use std::time::Duration;

/// What happens soon, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(15);
/// What needs a pod to start or to end.
pub const POD: Duration = Duration::from_secs(60);

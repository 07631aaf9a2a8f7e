//! The contract between control plane and data plane.
//!
//! ```text
//! Config (what travels, one resource per route rule)
//!    └─ Compiler::apply(Delta) ─► Table (what a request meets; shares with the one before what did not change)
//!                           └─ listener(port, host) ─► find(head) ─► decide ─► Permit | Reply | Refusal
//!                           │                                           └─ Permit::apply ─► Permitted
//!                           └─ listener(port, SNI) ──► pass ─► Passage (to one backend, for a connection or a flow) | Reason
//! ```
//!
//! A [`Permitted`] request is the only thing the proxy can forward, and only a [`Permit`] makes one: it strips every credential the
//! client sent and sets the one the route owns. Nothing here does IO, reads a clock or draws a random number.

mod compiler;
pub mod config;
mod cors;
mod credential;
mod decide;
mod filter;
mod hostname;
mod passage;
mod path;
mod precedence;
mod predicate;
mod protocol;
mod provider;
mod refusal;
mod rule;
mod secret;
mod table;
mod tls;
pub mod wire;

pub use compiler::{Applied, Compiler};
pub use config::Config;
pub use credential::{CREDENTIAL_HEADERS, is_credential_header, is_credential_parameter};
pub use decide::{Decision, Mirroring, Permit, Permitted, Reply, decide};
pub use hostname::{Hostname, HostnameError, normalize_host};
pub use passage::{Passage, pass};
pub use path::{PathError, check_path};
pub use predicate::whole;
pub use protocol::{Family, Port, Protocol, Transport};
pub use provider::{ErrorShape, ProviderKind};
pub use refusal::{Reason, Refusal};
pub use rule::{CompiledBackend, CompiledRule, Origin, RetryPolicy, Target, Upstream};
pub use secret::Token;
pub use table::{CompileError, Head, ListenerTable, PortTable, Table};
pub use tls::{PodTls, TlsIdentity};

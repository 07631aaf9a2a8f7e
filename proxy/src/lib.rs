//! The data plane: from a socket to a decision to a backend, and back.
//!
//! ```text
//! source (delta xDS), or files ─► Server::apply ─► State (table, certificates) ── swapped; shares what stayed ──┐
//!                                                                                                       ▼
//! listener ─► connection ─► request: find rule ─► decide ─► Permit ─► forward ─► backend
//!                │                    └─ refuse / redirect / preflight
//!                └─► stream (TLSRoute, TCPRoute): pass ─► joined to a backend, byte for byte      datagram (UDPRoute): flow by flow
//! ```
//!
//! One single-threaded runtime per worker, each with its own listening sockets (`SO_REUSEPORT`), upstream connections and resolver: a
//! request never changes threads. Whoever holds the [`Server`] applies configurations and drains, be it by hand or with a [`Source`]; the
//! admin port has a thread of its own.

mod admin;
mod body;
mod client_auth;
mod connect;
mod connection;
mod datagram;
mod dns;
mod error;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headers;
mod hello;
pub mod logging;
mod metrics;
mod model;
mod options;
mod pod_tls;
mod pool;
mod request;
mod server;
mod session;
mod sniff;
mod source;
mod state;
mod stream;
mod tls;
mod tunnel;
mod usage;
mod verify;
mod worker;

pub use options::{ConnectTo, Options};
pub use server::{ApplyError, Server};
pub use source::{AddressError, ControlPlane, Source, XdsAddress};

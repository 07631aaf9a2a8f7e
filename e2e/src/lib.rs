//! What the end-to-end tests are told with: the real `keyward` program, a mock provider, and clients that show every byte.
//!
//! ```text
//! Provider::with_key(..)                     a provider with a journal of what it received (provider)
//! Setup::new().sample(..).provider(..)       manifests in a directory of their own (gateway, manifests)
//!     .start()                               keyward up, on a loopback address of its own, until dropped (gateway)
//! curl(..), send(..), Connection::open(..)   curl, and raw sockets for what no client would send (curl, client)
//! Http2::open(..)                            streams on one connection (http2, payload)
//! Echo::start(..), Canned::start(..)         backends of a Service: one tells what it received, one sends any bytes (echo, canned)
//! Authority::generate()                      certificates for listeners (authority)
//! check(directory, ["-f", ..], stdin)        keyward check, to its end (check)
//! ```
//!
//! A test asserts on what the client got, on `provider.journal()`, `echo.journal()` and on `gateway.log()`. Holds no product code.

mod authority;
mod backend;
mod background;
mod canned;
mod check;
mod client;
mod curl;
mod echo;
mod gateway;
mod http2;
mod manifests;
mod payload;
mod provider;
mod wait;

pub use authority::{Authority, Leaf};
pub use backend::EchoBackend;
pub use canned::Canned;
pub use check::{Checked, check};
pub use client::{Connection, Head, Request, Response, send};
pub use curl::{Curled, GUIDE_BODY, curl};
pub use echo::{Echo, Echoed};
pub use gateway::{Ended, Gateway, Setup, beside_target, loopback};
pub use http2::{Http2, Http2Answer};
pub use manifests::{gateway, gateway_with, route, route_with, secret, secret_with_data, service, tls_secret, upstream};
pub use payload::Payload;
pub use provider::Provider;
pub use wait::eventually;

//! What the end-to-end tests are told with: the real `keyward` program, a mock provider, and clients that show every byte.
//!
//! ```text
//! Provider::with_key(..)                     a provider with a journal of what it received (provider)
//! Setup::new().sample(..).provider(..)       manifests in a directory of their own (gateway, manifests)
//!     .start()                               keyward up, on a loopback address of its own, until dropped (gateway)
//! curl(..), send(..), Connection::open(..)   curl, and raw sockets for what no client would send (curl, client)
//! ```
//!
//! A test asserts on what the client got, on `provider.journal()` and on `gateway.log()`. Holds no product code.

mod backend;
mod client;
mod curl;
mod gateway;
mod manifests;
mod provider;
mod wait;

pub use backend::EchoBackend;
pub use client::{Connection, Head, Request, Response, send};
pub use curl::{Curled, GUIDE_BODY, curl};
pub use gateway::{Ended, Gateway, Setup, beside_target, loopback};
pub use manifests::{gateway, route, route_with, secret, secret_with_data, upstream};
pub use provider::Provider;
pub use wait::eventually;

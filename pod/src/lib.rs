//! What a program of ours that talks to the API server from a pod stands on, whatever it does there: the operator and the webhook. No object
//! of a user is read here, and nothing is decided.

pub mod authority;
pub mod client;
pub mod log;
pub mod panic;
pub mod stop;
pub mod tls;

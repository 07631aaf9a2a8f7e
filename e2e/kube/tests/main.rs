//! End-to-end tests on a real cluster: `kubectl`, `curl`, and what the API server says. A test's name is what Keyward does.

mod canary;
mod channel_identity;
mod channel_nack;
mod lifecycle_api_server;
mod lifecycle_crds;
mod lifecycle_gateway;
mod lifecycle_leader;
mod lifecycle_operator;
mod lifecycle_proxy;
mod lifecycle_rbac;
mod lifecycle_secret;
mod observability;
mod status_bad_input;
mod status_gateway;
mod status_route;
mod status_unreadable;
mod status_upstream;
mod traffic_guide;

//! End-to-end tests: the real program, real sockets, real clients. A test's name is what the gateway does.

mod admit_files;
mod lifecycle_drain;
mod lifecycle_reload;
mod lifecycle_start;
mod lifecycle_under_load;
mod traffic_bodies;
mod traffic_canary;
mod traffic_credentials;
mod traffic_filters;
mod traffic_guide;
mod traffic_hostile;
mod traffic_http2;
mod traffic_limits;
mod traffic_model;
mod traffic_openai_sdk;
mod traffic_passthrough;
mod traffic_retries;
mod traffic_secrets;
mod traffic_service;
mod traffic_streaming;
mod traffic_tls;
mod traffic_upstream;
mod traffic_websocket;

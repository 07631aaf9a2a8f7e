//! TLS as our programs serve it.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};

/// With whatever certificate is current when a client comes. Inside of it this protocol is spoken, as ALPN calls it. No session is kept to be
/// resumed: API servers never do, and a stream of ours that begins again should see the current certificate.
#[expect(clippy::expect_used, reason = "the provider has TLS 1.3")]
pub fn server_config(certificate: Arc<dyn ResolvesServerCert>, protocol: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.expect("TLS 1.3").with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

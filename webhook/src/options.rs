//! How a webhook runs: addresses, names, default levels and how long certificates live.

use std::net::SocketAddr;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use crds::credentials::Level;
use pod::authority::AuthoritySettings;

use crate::namespaces::Levels;

/// In its certificates, and for what it writes.
pub(crate) const NAME: &str = "keyward-webhook";

/// Settings that do not change while it runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Namespace the webhook runs in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "keyward-system")]
    pub namespace: String,
    /// Address to serve reviews on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Address of /metrics, /readyz and /livez.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8080")]
    pub http_listen: SocketAddr,
    /// The Service by which the API server finds the webhook.
    #[arg(long, value_name = "NAME", default_value = "keyward-webhook")]
    pub service: String,
    /// The ValidatingWebhookConfiguration whose caBundle is kept right.
    #[arg(long, value_name = "NAME", default_value = "keyward-webhook")]
    pub configuration: String,
    /// The Secret with the webhook's certificate authority.
    #[arg(long, value_name = "NAME", default_value = "keyward-webhook-ca")]
    pub ca_secret: String,
    /// Serve tls.crt and tls.key of this directory, kept by another, instead of the webhook's own; the caBundle is then another's too.
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// What namespaces without the label credentials.keyward.dev/enforce refuse: open, protected or restricted.
    #[arg(long, value_name = "LEVEL", default_value = "open")]
    pub default_enforce: Level,
    /// What namespaces without the label credentials.keyward.dev/warn warn of.
    #[arg(long, value_name = "LEVEL", default_value = "protected")]
    pub default_warn: Level,
    /// What namespaces without the label credentials.keyward.dev/audit record in the audit log.
    #[arg(long, value_name = "LEVEL", default_value = "protected")]
    pub default_audit: Level,
    /// How long a certificate authority lives; renewed at two thirds.
    #[arg(long, value_name = "SECONDS", default_value = "31536000", value_parser = seconds)]
    pub ca_life: Duration,
    /// How long a serving certificate lives; renewed at two thirds.
    #[arg(long, value_name = "SECONDS", default_value = "86400", value_parser = seconds)]
    pub leaf_life: Duration,
    /// How long a new certificate authority is in the caBundle before it signs.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub overlap: Duration,
    /// How long reviews are served after being told to stop, until every API server knows.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub drain: Duration,
}

fn seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_secs)
}

impl Options {
    pub(crate) fn levels(&self) -> Levels {
        Levels { enforce: self.default_enforce, warn: self.default_warn, audit: self.default_audit }
    }

    /// The name that the API server verifies.
    pub(crate) fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    pub(crate) fn authority(&self) -> AuthoritySettings {
        AuthoritySettings {
            name: NAME.to_owned(),
            namespace: self.namespace.clone(),
            secret: self.ca_secret.clone(),
            dns_names: vec![self.server_name()],
            ca_life: self.ca_life,
            leaf_life: self.leaf_life,
            overlap: self.overlap,
        }
    }
}

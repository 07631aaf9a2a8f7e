//! How an operator runs: addresses and names. What it does comes from the cluster.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crds::credentials::{Level, Levels};
use pod::authority::AuthoritySettings;
use translate::{ClusterSettings, InfraSettings, ObjectKey, Settings};

use crate::engine::Own;
use crate::peers::PeerSettings;
use crate::status::Reporter;

/// The name of the operator's Deployment, Service, ServiceAccount and Lease.
pub(crate) const NAME: &str = "keyward-operator";
const CA_SECRET: &str = "keyward-ca";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const OVERLAP: Duration = Duration::from_secs(10 * 60);

/// Settings that do not change while it runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Namespace the operator runs in: its Lease and its CA's Secret are there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "keyward-system")]
    pub namespace: String,
    /// Name of this replica.
    #[arg(long, env = "POD_NAME", default_value = "keyward-operator")]
    pub pod_name: String,
    /// Address of this replica, to tell it from the others.
    #[arg(long, env = "POD_IP")]
    pub pod_ip: Option<IpAddr>,
    /// Address to serve configuration to proxies on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:18000")]
    pub xds_listen: SocketAddr,
    /// Address of /metrics, /readyz and /livez.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8080")]
    pub http_listen: SocketAddr,
    /// Where proxies find the operator.
    #[arg(long, value_name = "URL", default_value = "https://keyward-operator.keyward-system.svc:18000")]
    pub xds_address: String,
    /// Image of the proxies.
    #[arg(long, value_name = "IMAGE", default_value = concat!("ghcr.io/keyward/keyward-proxy:", env!("CARGO_PKG_VERSION")))]
    pub proxy_image: String,
    /// This replica's own token for the other replicas.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/keyward/token")]
    pub token: PathBuf,
    /// GatewayClasses with this `controllerName` are ours.
    #[arg(long, value_name = "NAME", default_value = "keyward.dev/gateway-controller")]
    pub controller_name: String,
    /// What namespaces without the label credentials.keyward.dev/enforce refuse; give the webhook's: the operator only tells of it.
    #[arg(long, value_name = "LEVEL", default_value = "open")]
    pub default_enforce: Level,
    /// From which level on inline credentials are told of in namespaces without the label credentials.keyward.dev/audit.
    #[arg(long, value_name = "LEVEL", default_value = "protected")]
    pub default_audit: Level,
}

impl Options {
    /// The name that the serving certificate is for.
    fn server_name(&self) -> String {
        let authority = self.xds_address.split_once("://").map_or(self.xds_address.as_str(), |(_, rest)| rest);
        authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned()
    }

    pub(crate) fn account(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, NAME)
    }

    pub(crate) fn own(&self) -> Own {
        Own { service: ObjectKey::new(&self.namespace, NAME), address: self.pod_ip }
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter { controller: self.controller_name.clone(), namespace: self.namespace.clone() }
    }

    pub(crate) fn authority(&self) -> AuthoritySettings {
        AuthoritySettings {
            name: NAME.to_owned(),
            namespace: self.namespace.clone(),
            secret: CA_SECRET.to_owned(),
            dns_names: vec![self.server_name()],
            ca_life: YEAR,
            leaf_life: DAY,
            overlap: OVERLAP,
        }
    }

    pub(crate) fn peers(&self) -> PeerSettings {
        PeerSettings { port: self.xds_listen.port(), server_name: self.server_name(), token_file: self.token.clone() }
    }

    pub(crate) fn settings(&self) -> Settings {
        let infra =
            InfraSettings { xds_address: self.xds_address.clone(), proxy_image: self.proxy_image.clone(), ..InfraSettings::default() };
        let cluster = Some(ClusterSettings { infra });
        let levels = Levels { enforce: self.default_enforce, audit: self.default_audit, ..Levels::default() };
        Settings { controller_name: self.controller_name.clone(), cluster, levels, ..Settings::default() }
    }
}

//! A program's own certificate authority: its clients know it by that, and it needs nobody else. It lives in a Secret that all replicas
//! share; each replica makes its own serving certificate from it, in memory.
//!
//! A new authority is trusted before it signs: it is staged in the Secret, clients get it with the certificates that they trust, and only
//! after an overlap does it sign. The old one stays trusted until it ends.

mod issue;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use kube_runtime::watcher;
use parking_lot::Mutex;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::client::watch_config;

use issue::{Issued, Signer};
use plan::{Action, Stored};

/// How often certificates are looked at, at least.
const LOOK: Duration = Duration::from_secs(30);
/// And at most.
const SHORTEST_LOOK: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(2);

/// What an authority is called, and how long things live.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// The program's: the common name of its serving certificates, and the beginning of its authorities'.
    pub name: String,
    /// Where the Secret is.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// What the serving certificate is for.
    pub dns_names: Vec<String>,
    /// Of an authority.
    pub ca_life: Duration,
    /// Of a serving certificate.
    pub leaf_life: Duration,
    /// How long a new authority is trusted before it signs.
    pub overlap: Duration,
}

impl AuthoritySettings {
    /// Often enough that nothing ends between two looks.
    fn look(&self) -> Duration {
        LOOK.min(self.leaf_life / 10).min(self.overlap / 4).max(SHORTEST_LOOK)
    }
}

/// The authority and this replica's certificate.
pub struct Authority {
    secrets: Api<Secret>,
    settings: AuthoritySettings,
    bundle: watch::Sender<String>,
    leaf: Arc<Leaf>,
    expiry: watch::Sender<i64>,
}

/// The certificate that is served now. Prints nothing of it.
struct Leaf {
    current: Mutex<Option<Current>>,
}

struct Current {
    key: Arc<CertifiedKey>,
    /// The authority that signed it, PEM.
    signer: String,
    made: Timestamp,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leaf")
    }
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.lock().as_ref().map(|current| Arc::clone(&current.key))
    }
}

impl Authority {
    /// Reads or makes the authority. Waits for an API server that lets it.
    pub async fn start(client: Client, settings: AuthoritySettings) -> anyhow::Result<Arc<Self>> {
        let secrets = Api::namespaced(client, &settings.namespace);
        let leaf = Arc::new(Leaf { current: Mutex::new(None) });
        let authority =
            Arc::new(Self { secrets, settings, bundle: watch::Sender::new(String::new()), leaf, expiry: watch::Sender::new(0) });
        while let Err(error) = authority.first().await {
            tracing::warn!(
                error = format!("{error:#}"),
                secret.name = authority.settings.secret,
                "no certificate authority yet, trying again"
            );
            tokio::time::sleep(RETRY).await;
        }
        Ok(authority)
    }

    /// The certificates of all authorities that may have signed what is served, PEM.
    pub fn bundle(&self) -> watch::Receiver<String> {
        self.bundle.subscribe()
    }

    /// What is served now.
    pub fn serving(&self) -> Option<Arc<CertifiedKey>> {
        self.leaf.current.lock().as_ref().map(|current| Arc::clone(&current.key))
    }

    /// When the authority that signs ends, in seconds since 1970.
    pub fn expiry(&self) -> watch::Receiver<i64> {
        self.expiry.subscribe()
    }

    /// The certificate that is current when a client comes.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.leaf) as _
    }

    /// Follows the Secret, renews the serving certificate, and as leader renews the authority.
    pub async fn run(self: Arc<Self>, leader: watch::Receiver<bool>) {
        let config = watch_config().fields(&format!("metadata.name={}", self.settings.secret));
        let mut events = watcher::watcher(self.secrets.clone(), config).boxed();
        let mut ticks = tokio::time::interval(self.settings.look());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => tokio::time::sleep(RETRY).await,
                    None => return,
                },
                _ = ticks.tick() => {}
            }
            let leads = *leader.borrow();
            let _ = self.look(leads).await.inspect_err(|error| self.complain(error));
        }
    }

    fn complain(&self, error: &anyhow::Error) {
        tracing::warn!(error = format!("{error:#}"), secret.name = self.settings.secret, "the certificate authority stays as it is");
    }

    /// Creates the Secret if nobody did.
    async fn first(&self) -> anyhow::Result<()> {
        if self.secrets.get_opt(&self.settings.secret).await?.is_none() {
            let stored = Stored::of(self.signer()?);
            match self.secrets.create(&PostParams::default(), &self.secret(&stored, None)).await {
                Ok(_) => tracing::info!(secret.name = self.settings.secret, "made a certificate authority"),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.look(false).await
    }

    async fn look(&self, leads: bool) -> anyhow::Result<()> {
        let Some(secret) = self.secrets.get_opt(&self.settings.secret).await? else {
            anyhow::ensure!(leads, "Secret {} is gone: the leader makes it anew", self.settings.secret);
            let stored = Stored::of(self.signer()?);
            self.secrets.create(&PostParams::default(), &self.secret(&stored, None)).await?;
            return Ok(());
        };
        let stored = Stored::read(secret.data.clone().unwrap_or_default()).with_context(|| {
            format!("Secret {} does not hold a certificate authority: delete it, and it is made anew", self.settings.secret)
        })?;
        self.serve(&stored)?;
        if leads && let Some(next) = self.renewed(stored)? {
            let version = secret.metadata.resource_version;
            self.secrets.replace(&self.settings.secret, &PostParams::default(), &self.secret(&next, version)).await?;
            self.serve(&next)?;
        }
        Ok(())
    }

    /// What the Secret should hold next.
    fn renewed(&self, stored: Stored) -> anyhow::Result<Option<Stored>> {
        let action = stored.plan(now(), self.settings.overlap);
        if action != Action::Nothing {
            tracing::info!(?action, secret.name = self.settings.secret, "the certificate authority is renewed");
        }
        Ok(match action {
            Action::Nothing => None,
            Action::Stage => Some(stored.staged(self.signer()?)),
            Action::Promote => Some(stored.promoted()),
            Action::Retire => Some(stored.retired(now())),
        })
    }

    /// Trusts and serves what is stored.
    fn serve(&self, stored: &Stored) -> anyhow::Result<()> {
        let bundle = stored.bundle();
        self.bundle.send_if_modified(|known| {
            let changed = *known != bundle;
            *known = bundle;
            changed
        });
        let current = stored.current.as_ref().context("no authority signs")?;
        self.expiry.send_replace(current.ends.as_second());
        let mut leaf = self.leaf.current.lock();
        let half_done = |made: Timestamp| elapsed(made, now()) >= self.settings.leaf_life * 2 / 3;
        if leaf.as_ref().is_none_or(|known| known.signer != current.certificate || half_done(known.made)) {
            let AuthoritySettings { name, dns_names, leaf_life, .. } = &self.settings;
            let Issued { key } = current.issue(name, dns_names, *leaf_life, now())?;
            *leaf = Some(Current { key, signer: current.certificate.clone(), made: now() });
        }
        Ok(())
    }

    /// A new authority.
    fn signer(&self) -> anyhow::Result<Signer> {
        Signer::new(&self.settings.name, self.settings.ca_life, now())
    }

    fn secret(&self, stored: &Stored, resource_version: Option<String>) -> Secret {
        let data: BTreeMap<String, ByteString> = stored.write();
        let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "keyward".to_owned())]);
        let metadata =
            ObjectMeta { name: Some(self.settings.secret.clone()), labels: Some(labels), resource_version, ..ObjectMeta::default() };
        Secret { metadata, type_: Some("Opaque".to_owned()), data: Some(data), ..Secret::default() }
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(to.as_second() - from.as_second()).unwrap_or_default())
}

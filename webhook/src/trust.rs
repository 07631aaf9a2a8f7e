//! The caBundle that API servers verify us by: watched, kept right when it is ours to keep, and what readiness asks. A replica that serves
//! what the live bundle does not vouch for would fail every review, so it takes none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use kube_runtime::watcher::{Event, watcher};
use parking_lot::Mutex;
use pod::client::watch_config;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::options::{NAME, Options};

const RETRY: Duration = Duration::from_secs(1);
/// A patch that failed is tried again, whether or not anything happens.
const LOOK: Duration = Duration::from_secs(10);

/// Readiness is asked every second. For so long it remembers a yes, unless the certificate or a bundle has changed.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The caBundle of each webhook in the configuration, by name.
type Bundles = Vec<(String, Vec<u8>)>;

/// What is known of the configuration.
struct Live {
    bundles: Bundles,
    /// What they all vouched for, and when.
    vouched: Option<(Arc<CertifiedKey>, Instant)>,
}

/// What API servers trust.
pub(crate) struct Trust {
    configurations: Api<ValidatingWebhookConfiguration>,
    name: String,
    server_name: ServerName<'static>,
    /// `None`: there is no such configuration.
    live: Mutex<Option<Live>>,
}

impl Trust {
    pub(crate) fn new(client: Client, options: &Options) -> anyhow::Result<Arc<Self>> {
        let server_name = ServerName::try_from(options.server_name()).context("the Service's name is no DNS name")?;
        let (configurations, name) = (Api::all(client), options.configuration.clone());
        Ok(Arc::new(Self { configurations, name, server_name, live: Mutex::new(None) }))
    }

    /// Follows the configuration, and heals it when a bundle is given: whatever resets it, a GitOps tool or a person, loses.
    pub(crate) async fn run(self: Arc<Self>, mut bundle: Option<watch::Receiver<String>>) {
        let config = watch_config().fields(&format!("metadata.name={}", self.name));
        let mut events = watcher(self.configurations.clone(), config).boxed();
        let mut listed = false;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.digest(event, &mut listed),
                    Some(Err(error)) => self.complain(&error).await,
                    None => return,
                },
                () = changed(&mut bundle) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            let wanted = bundle.as_ref().map(|bundle| bundle.borrow().clone()).unwrap_or_default();
            if let Err(error) = self.heal(&wanted).await {
                self.complain(&error).await;
            }
        }
    }

    /// What was known stays known while it is listed again.
    fn digest(&self, event: Event<ValidatingWebhookConfiguration>, listed: &mut bool) {
        match event {
            Event::Init => *listed = false,
            Event::Apply(configuration) | Event::InitApply(configuration) => {
                *listed = true;
                *self.live.lock() = Some(Live::of(configuration));
            }
            Event::InitDone if *listed => {}
            Event::InitDone | Event::Delete(_) => *self.live.lock() = None,
        }
    }

    async fn complain(&self, error: &(dyn std::error::Error + Sync)) {
        tracing::warn!(%error, configuration.name = self.name, "the webhook configuration cannot be watched or patched, trying again");
        tokio::time::sleep(RETRY).await;
    }

    /// Applies the bundle and nothing else: every other field stays whose it is. What does not exist is not made, since an entry with
    /// nothing but a bundle is not valid.
    async fn heal(&self, wanted: &str) -> kube::Result<()> {
        let stale = self.live.lock().as_ref().map(|live| &live.bundles).filter(|bundles| is_stale(bundles, wanted)).cloned();
        let Some(stale) = stale else { return Ok(()) };
        let patch = patch(&self.name, &stale, wanted);
        let healed = self.configurations.patch(&self.name, &PatchParams::apply(NAME).force(), &Patch::Apply(patch)).await?;
        tracing::info!(configuration.name = self.name, "set the caBundle");
        *self.live.lock() = Some(Live::of(healed));
        Ok(())
    }

    /// Whether API servers accept what is served; else why not.
    pub(crate) fn verify(&self, served: &Arc<CertifiedKey>) -> Result<(), String> {
        let mut live = self.live.lock();
        let live = live.as_mut().ok_or_else(|| format!("there is no ValidatingWebhookConfiguration {}", self.name))?;
        if live.vouched.as_ref().is_some_and(|(key, at)| Arc::ptr_eq(key, served) && at.elapsed() < REMEMBERED) {
            return Ok(());
        }
        for (webhook, bundle) in &live.bundles {
            verify(bundle, served, &self.server_name).map_err(|why| format!("the caBundle of {webhook} does not vouch for it: {why}"))?;
        }
        live.vouched = Some((Arc::clone(served), Instant::now()));
        Ok(())
    }
}

impl Live {
    fn of(configuration: ValidatingWebhookConfiguration) -> Self {
        let webhooks = configuration.webhooks.into_iter().flatten();
        let bundle = |bundle: Option<ByteString>| bundle.map(|bundle| bundle.0).unwrap_or_default();
        let bundles = webhooks.map(|webhook| (webhook.name, bundle(webhook.client_config.ca_bundle))).collect();
        Self { bundles, vouched: None }
    }
}

/// Nothing is, where no bundle is wanted.
fn is_stale(bundles: &Bundles, wanted: &str) -> bool {
    !wanted.is_empty() && bundles.iter().any(|(_, bundle)| bundle != wanted.as_bytes())
}

/// Waits for ever where there is nothing to wait for.
async fn changed(bundle: &mut Option<watch::Receiver<String>>) {
    let ended = match bundle {
        Some(bundle) => bundle.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending().await
    }
}

fn patch(name: &str, stale: &Bundles, wanted: &str) -> Value {
    let bundle = ByteString(wanted.as_bytes().to_vec());
    let webhooks = stale.iter().map(|(webhook, _)| json!({ "name": webhook, "clientConfig": { "caBundle": bundle } }));
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name },
        "webhooks": webhooks.collect::<Vec<Value>>(),
    })
}

fn verify(bundle: &[u8], served: &CertifiedKey, name: &ServerName<'_>) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(bundle).flatten());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|error| error.to_string())?;
    let (leaf, rest) = served.cert.split_first().ok_or("no certificate is served")?;
    verifier.verify_server_cert(leaf, rest, name, &[], UnixTime::now()).map_err(|error| error.to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_the_bundle_alone() {
        let stale = vec![("a.keyward.dev".to_owned(), Vec::new())];
        let patch = patch("keyward-webhook", &stale, "PEM");
        assert_eq!(patch["webhooks"], json!([{ "name": "a.keyward.dev", "clientConfig": { "caBundle": "UEVN" } }]));
    }
}

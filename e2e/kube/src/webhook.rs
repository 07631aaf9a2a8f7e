//! The webhook as it was installed; without it for a while, in the whole cluster or in some namespaces.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::deployed::READY;
use crate::{Cluster, Deployed, Kind, SYSTEM, wait_until};

/// The Deployment, the ValidatingWebhookConfiguration, and the Secret's name without its end.
pub(crate) const NAME: &str = "keyward-webhook";
pub(crate) const LABELS: &str = "app.kubernetes.io/name=keyward-webhook";

/// The webhook.
#[derive(Clone, Copy)]
pub struct Webhook<'c>(pub &'c Cluster);

impl Deployed for Webhook<'_> {
    const NAME: &'static str = NAME;
    const LABELS: &'static str = LABELS;

    fn cluster(&self) -> &Cluster {
        self.0
    }
}

impl<'c> Webhook<'c> {
    /// Takes it away until the result is dropped: no pod of it runs any more.
    ///
    /// # Errors
    /// When a pod stays.
    pub fn take_away(self) -> Result<Away<'c>> {
        let away = Away(self);
        self.scale(0)?;
        wait_until("no pod of the webhook is left", READY, || {
            let left = self.0.list(Kind::POD, SYSTEM, LABELS)?;
            ensure!(left.is_empty(), "{} pods", left.len());
            Ok(())
        })?;
        Ok(away)
    }

    fn scale(self, replicas: u8) -> Result<()> {
        self.0.kubectl(&["scale", "-n", SYSTEM, "deployment", NAME, &format!("--replicas={replicas}")], None).map(drop)
    }
}

/// The webhook is away until this is dropped.
pub struct Away<'c>(Webhook<'c>);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        let back = self.0.scale(2).and_then(|()| self.0.settled());
        if let Err(error) = back {
            eprintln!("the webhook does not come back: {error:#}");
        }
    }
}

/// Namespaces with a label are none of the webhook's until this is dropped.
pub struct Excluding<'c>(&'c Cluster);

impl<'c> Excluding<'c> {
    /// The label's key; its value does not matter.
    pub const LABEL: &'static str = "e2e.keyward.dev/no-webhook";

    /// Excludes them. API servers come to know of it within moments.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn new(cluster: &'c Cluster) -> Result<Self> {
        let this = Self(cluster);
        this.select(&json!({ "matchExpressions": [{ "key": Self::LABEL, "operator": "DoesNotExist" }] }))?;
        Ok(this)
    }

    fn select(&self, selector: &serde_json::Value) -> Result<()> {
        let configuration = self.0.get(Kind::VALIDATING_WEBHOOKS, "", NAME)?;
        let count = configuration["webhooks"].as_array().map(Vec::len).unwrap_or_default();
        let place = |nth: usize| format!("/webhooks/{nth}/namespaceSelector");
        let patch: serde_json::Value = (0..count).map(|nth| json!({ "op": "add", "path": place(nth), "value": selector })).collect();
        let patch = patch.to_string();
        self.0.kubectl(&["patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", &patch], None).map(drop)
    }
}

impl Drop for Excluding<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.select(&json!({})) {
            eprintln!("the webhook goes on without some namespaces: {error:#}");
        }
    }
}

//! A webhook that could not answer takes no reviews, and its readiness page says why. What it lacks makes it ready, without a restart.

use std::time::Duration;

use anyhow::{Result, ensure};
use keyward_e2e::Authority;
use keyward_e2e_kube::{Cluster, Different, Namespace, OwnWebhook, POD, holds_for, wait_until};

/// Readiness is asked for ten times meanwhile.
const A_WHILE: Duration = Duration::from_secs(10);

/// Both replicas come to say this, and go on saying so.
fn stays_unready(webhook: &OwnWebhook<'_>, why: &str) -> Result<()> {
    let says_why = || -> Result<()> {
        let said = webhook.readiness()?;
        let all = said.len() == 2 && said.iter().all(|(status, text)| *status == 503 && text.contains(why));
        ensure!(all, "{said:?}");
        Ok(())
    };
    wait_until("both replicas say why they are not ready", POD, says_why)?;
    holds_for("no replica is ready", A_WHILE, || {
        says_why()?;
        let replicas = webhook.replicas()?;
        ensure!(replicas.iter().all(|replica| !replica.ready), "{replicas:?}");
        Ok(())
    })
}

#[test]
fn what_the_live_bundle_does_not_vouch_for_never_becomes_ready_and_says_so() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "unvouched")?;
    let (authority, another) = (Authority::generate()?, Authority::generate()?);
    let [right, foreign] = [authority.ca_file(), another.ca_file()].map(std::fs::read_to_string);
    let (right, foreign) = (right?, foreign?);
    let leaf = authority.leaf(&OwnWebhook::host(&namespace))?;
    let webhook = OwnWebhook::begin(&namespace, &Different { files: Some(&leaf), ..Different::default() })?;
    webhook.trust(&foreign)?;
    stays_unready(&webhook, "the caBundle of upstreams.credentials.keyward.dev does not vouch for it")?;
    assert_eq!(webhook.trusted()?, foreign, "the bundle is somebody else's, and was changed");
    webhook.trust(&right)?;
    webhook.ready()
}

#[test]
fn what_may_not_list_namespaces_is_not_ready_and_says_so() -> Result<()> {
    let cluster = Cluster::shared()?;
    let namespace = Namespace::create(&cluster, "unlisted")?;
    let webhook = OwnWebhook::begin(&namespace, &Different { without: Some("namespaces"), ..Different::default() })?;
    stays_unready(&webhook, "the labels of namespaces are not known yet")?;
    webhook.permit(None)?;
    webhook.ready()
}

//! A namespace for each subject, in which it admits alone.

use anyhow::{Context, Result, ensure};

use super::go::GoWebhook;
use super::policy::Policy;
use super::subject::{LABEL, Subject, upstream};
use crate::{Attempt, Cluster, Deployed, Excluding, Kind, Namespace, SOON, Webhook, is_ours, process_of_pod, wait_until};

/// Everything in its place; what is measured is left to others.
pub(super) struct Stage<'c> {
    pub(super) cluster: &'c Cluster,
    namespaces: Vec<(Subject, Namespace<'c>)>,
    ours: Vec<u32>,
    go: Vec<u32>,
    _policy: Policy<'c>,
    _go_webhook: GoWebhook<'c>,
    _excluding: Excluding<'c>,
}

impl<'c> Stage<'c> {
    pub(super) fn set(cluster: &'c Cluster) -> Result<Self> {
        ensure!(is_ours(), "the processes of this cluster are elsewhere: their CPU time cannot be read");
        let replicas = Webhook(cluster).settled()?;
        let ours = replicas.iter().map(|pod| process_of_pod(&pod.name)).collect::<Result<_>>()?;
        let excluding = Excluding::new(cluster)?;
        let policy = Policy::bind(cluster)?;
        let go_webhook = GoWebhook::start(cluster)?;
        let go = go_webhook.replicas()?.iter().map(|pod| process_of_pod(&pod.name)).collect::<Result<_>>()?;
        let namespaces =
            Subject::ALL.into_iter().map(|subject| anyhow::Ok((subject, namespace(cluster, subject)?))).collect::<Result<_>>()?;
        Ok(Self { cluster, namespaces, ours, go, _policy: policy, _go_webhook: go_webhook, _excluding: excluding })
    }

    /// An attempt that the subject lets in.
    pub(super) fn attempt(&self, subject: Subject) -> Result<Attempt> {
        let (_, namespace) = self.namespaces.iter().find(|(one, _)| *one == subject).context("no such subject")?;
        Ok(Attempt::create(Kind::UPSTREAM, namespace.name(), &upstream("sk-bench")))
    }

    /// The subject's own processes; none where it is the API server.
    pub(super) fn processes(&self, subject: Subject) -> &[u32] {
        match subject {
            Subject::Nobody | Subject::Policy => &[],
            Subject::Go => &self.go,
            Subject::Ours => &self.ours,
        }
    }

    /// How many reviews our webhook has answered.
    pub(super) fn reviewed(&self) -> Result<f64> {
        Webhook(self.cluster).sum("keyward_webhook_reviews_total")
    }
}

fn namespace(cluster: &Cluster, subject: Subject) -> Result<Namespace<'_>> {
    let namespace = Namespace::create(cluster, &format!("bench-{}", subject.word()))?;
    let label = format!("{LABEL}={}", subject.word());
    let excluded = format!("{}=yes", Excluding::LABEL);
    let mut arguments = vec!["label", "namespace", namespace.name(), &label];
    if subject != Subject::Ours {
        arguments.push(&excluded);
    }
    cluster.kubectl(&arguments, None)?;
    let probe = Attempt::create(Kind::UPSTREAM, namespace.name(), &upstream("$TOKEN"));
    wait_until(&format!("{} admits alone", subject.name()), SOON, || {
        let answer = cluster.attempt(&probe)?;
        ensure!(subject.gave(&answer), "{answer:?}");
        Ok(())
    })?;
    Ok(namespace)
}

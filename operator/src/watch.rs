//! Watches: one per kind, each for ever. A watch that fails says why, in the API server's words, and tries again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Api;
use kube::core::Resource;
use kube_runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use translate::ObjectKey;

use crate::metrics::Metrics;

/// The longest wait between two tries: the API server may be away for a while, and changes should arrive soon after it is back.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How often the same complaint is logged.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What a watch tells.
#[derive(Debug)]
pub(crate) enum Seen<K> {
    /// There it is, new or changed.
    There(K),
    /// It is gone.
    Gone(ObjectKey),
    /// Everything that exists has been told.
    Synced,
}

impl<K> Seen<K> {
    /// The same about a part of the object.
    pub(crate) fn map<T>(self, part: impl FnOnce(K) -> T) -> Seen<T> {
        match self {
            Self::There(object) => Seen::There(part(object)),
            Self::Gone(key) => Seen::Gone(key),
            Self::Synced => Seen::Synced,
        }
    }
}

/// A watch's name and where its events go.
pub(crate) struct Watch<K, I> {
    /// For logs and metrics.
    pub(crate) name: &'static str,
    pub(crate) api: Api<K>,
    pub(crate) config: watcher::Config,
    pub(crate) into: Box<dyn Fn(Seen<K>) -> I + Send + Sync>,
}

/// What all watches share.
pub(crate) struct Watching<I> {
    pub(crate) inputs: mpsc::Sender<I>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
}

impl<I> Clone for Watching<I> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), metrics: Arc::clone(&self.metrics), stop: self.stop.clone() }
    }
}

impl<K, I: Send + 'static> Watch<K, I>
where
    K: Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    /// Follows the kind until told to stop.
    pub(crate) fn spawn(self, shared: Watching<I>) {
        tokio::spawn(async move {
            let stop = shared.stop.clone();
            stop.run_until_cancelled(self.follow(shared)).await;
        });
    }

    async fn follow(self, shared: Watching<I>) {
        let mut events: BoxStream<'_, _> = watcher(self.api, self.config).boxed();
        let mut follower = Follower { name: self.name, known: BTreeSet::new(), listed: None, waits: Waits::default() };
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // A list that has only begun may fail yet.
                    if !matches!(event, Event::Init) {
                        follower.waits.reset();
                    }
                    for seen in follower.digest(event) {
                        if shared.inputs.send((self.into)(seen)).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    shared.metrics.watch_errors.with_label_values(&[self.name]).inc();
                    tokio::time::sleep(follower.waits.failed(self.name, &error)).await;
                }
            }
        }
    }
}

/// Turns a watch's events into what changed: after a new list, what is no longer in it is gone.
struct Follower {
    name: &'static str,
    known: BTreeSet<ObjectKey>,
    /// While a list runs: what it had so far.
    listed: Option<BTreeSet<ObjectKey>>,
    waits: Waits,
}

impl Follower {
    fn digest<K: Resource>(&mut self, event: Event<K>) -> Vec<Seen<K>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let key = key(&object);
                self.listed.get_or_insert_default().insert(key.clone());
                self.known.insert(key);
                vec![Seen::There(object)]
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                tracing::debug!(watch.kind = self.name, watch.objects = listed.len(), "listed");
                let gone = std::mem::replace(&mut self.known, listed);
                gone.difference(&self.known).cloned().map(Seen::Gone).chain([Seen::Synced]).collect()
            }
            Event::Apply(object) => {
                self.known.insert(key(&object));
                vec![Seen::There(object)]
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.known.remove(&key);
                vec![Seen::Gone(key)]
            }
        }
    }
}

/// Identity as the API server gives it: cluster-scoped objects have no namespace.
fn key<K: Resource>(object: &K) -> ObjectKey {
    let meta = object.meta();
    ObjectKey::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// How long to wait after failures, and what was last complained about.
#[derive(Default)]
struct Waits {
    next: Option<Duration>,
    complaint: Option<(String, Instant)>,
}

impl Waits {
    fn reset(&mut self) {
        self.next = None;
        self.complaint = None;
    }

    fn failed(&mut self, kind: &'static str, error: &watcher::Error) -> Duration {
        let wait = self.next.unwrap_or(FIRST_WAIT);
        self.next = Some((wait * 2).min(LONGEST_WAIT));
        let (now, words) = (Instant::now(), explain(kind, error));
        let said = self.complaint.as_ref().is_some_and(|(last, at)| *last == words && now.duration_since(*at) < COMPLAINT);
        if !said {
            tracing::warn!(watch.kind = kind, "{words}");
            self.complaint = Some((words, now));
        }
        wait
    }
}

/// Says what to do about it where that is known.
fn explain(kind: &str, error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        other => return format!("watching {kind} failed, trying again: {other}"),
    };
    match status.code {
        404 => format!(
            "{kind} are not known to the API server: install their CRDs (Gateway API: its standard channel; ours: config/crd); waiting"
        ),
        403 => format!("watching {kind} is forbidden: {}; apply config/rbac; waiting", status.message),
        _ => format!("watching {kind} failed, trying again: {}", status.message),
    }
}

//! Follows the labels of namespaces. Only metadata is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use kube_runtime::watcher::{Event, watcher};
use pod::client::watch_config;

use crate::service::{NamespaceApi, Webhook};

const RETRY: Duration = Duration::from_secs(1);

/// A namespace's name and labels.
type Named = (String, BTreeMap<String, String>);

pub(crate) fn api(client: Client) -> NamespaceApi {
    Api::all(client)
}

/// Follows for ever. While the API server is away, what was known last counts.
pub(crate) async fn namespaces(api: NamespaceApi, webhook: Arc<Webhook>) {
    let mut events = watcher(api, watch_config()).boxed();
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => digest(&webhook, &mut listed, event),
            Err(error) => {
                tracing::warn!(%error, "watching namespaces failed, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn digest(webhook: &Webhook, listed: &mut Vec<Named>, event: Event<PartialObjectMeta<Namespace>>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(namespace) => listed.push(named(namespace)),
        Event::InitDone => {
            webhook.metrics.namespaces_synced.set(1);
            webhook.namespaces.write().replace(std::mem::take(listed));
        }
        Event::Apply(namespace) => {
            let (name, labels) = named(namespace);
            webhook.namespaces.write().insert(name, &labels);
        }
        Event::Delete(namespace) => webhook.namespaces.write().remove(&named(namespace).0),
    }
}

fn named(namespace: PartialObjectMeta<Namespace>) -> Named {
    let metadata = namespace.metadata;
    (metadata.name.unwrap_or_default(), metadata.labels.unwrap_or_default())
}

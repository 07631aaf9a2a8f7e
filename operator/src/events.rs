//! Problems as Events on the objects that have them: the leader publishes each once, when it appears.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::{mpsc, watch};
use translate::{Kind, ObjectKey, Problem};

use crate::reading::resource;

/// An Event's note may have 1 kB.
const NOTE: usize = 1000;

/// What is wrong with one object now.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) key: ObjectKey,
    pub(crate) uid: Option<String>,
    /// Reason and message of each problem; empty: all is well again.
    pub(crate) problems: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new(kind: Kind, key: ObjectKey, uid: Option<String>, problems: &[Problem]) -> Self {
        let problems = problems.iter().map(|one| (one.reason.clone(), format!("{}: {}", one.field, one.message))).collect();
        Self { kind, key, uid, problems }
    }
}

/// Publishes until nobody reports any more.
pub(crate) async fn publish(client: Client, instance: String, mut reports: mpsc::Receiver<Report>, leader: watch::Receiver<bool>) {
    let reporter = Reporter { controller: "keyward-operator".to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    let mut told: BTreeMap<(Kind, ObjectKey), BTreeSet<(String, String)>> = BTreeMap::new();
    while let Some(report) = reports.recv().await {
        let known = told.entry((report.kind, report.key.clone())).or_default();
        let now: BTreeSet<_> = report.problems.iter().cloned().collect();
        let new: Vec<_> = now.difference(known).cloned().collect();
        *known = now;
        if known.is_empty() {
            told.remove(&(report.kind, report.key.clone()));
        }
        for (reason, message) in new.into_iter().filter(|_| *leader.borrow()) {
            let event = warning(&reason, &message);
            if let Err(error) = recorder.publish(&event, &reference(&report)).await {
                tracing::warn!(object.kind = report.kind.as_str(), object.name = %report.key, %error, "an event could not be published");
            }
        }
    }
}

fn warning(reason: &str, message: &str) -> Event {
    let end = message.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= NOTE).last().unwrap_or_default();
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        note: message.get(..end).map(str::to_owned),
        action: "Translate".to_owned(),
        secondary: None,
    }
}

fn reference(report: &Report) -> ObjectReference {
    let resource = resource(report.kind);
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(report.key.name.clone()),
        namespace: Some(report.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        uid: report.uid.clone(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_long_message_between_characters() {
        let event = warning("Reason", &"é".repeat(2000));
        assert!(event.note.is_some_and(|note| note.len() <= NOTE && note.chars().all(|c| c == 'é')));
    }
}

//! Problems as Events on the objects that have them: the leader publishes each once, when it appears.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior};
use translate::{Kind, ObjectKey, Problem};

use crate::reading::resource;

/// An Event's note may have 1 kB.
const NOTE: usize = 1000;

const RETRY: Duration = Duration::from_secs(2);
const BURST: u32 = 50;
const SPACING: Duration = Duration::from_millis(200);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trouble {
    pub(crate) reason: String,
    /// Where in the object; empty: all of it.
    pub(crate) field: String,
    pub(crate) message: String,
}

/// What is wrong with one object now.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) key: ObjectKey,
    pub(crate) uid: Option<String>,
    /// None: all is well again.
    pub(crate) problems: Vec<Trouble>,
}

impl Report {
    pub(crate) fn new(kind: Kind, key: ObjectKey, uid: Option<String>, problems: &[Problem]) -> Self {
        let trouble = |one: &Problem| Trouble { reason: one.reason.clone(), field: one.field.clone(), message: one.message.clone() };
        let problems = problems.iter().map(trouble).collect();
        Self { kind, key, uid, problems }
    }
}

/// The latest report of each object, for whoever publishes. Telling it never waits.
#[derive(Default)]
pub(crate) struct Reports {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    /// What is wrong now.
    now: BTreeMap<(Kind, ObjectKey), Report>,
    /// What was published of it.
    told: BTreeMap<(Kind, ObjectKey), BTreeSet<Trouble>>,
    changed: BTreeSet<(Kind, ObjectKey)>,
}

impl Reports {
    /// Takes over what is wrong with an object.
    pub(crate) fn tell(&self, report: Report) {
        let mut state = self.state.lock();
        let id = (report.kind, report.key.clone());
        state.changed.insert(id.clone());
        state.now.insert(id, report);
        drop(state);
        self.news.notify_one();
    }

    /// Everything is to be looked at: this replica has become the one that publishes.
    fn look_again(&self) {
        let mut state = self.state.lock();
        state.changed = state.now.keys().cloned().collect();
        drop(state);
        self.news.notify_one();
    }

    /// The next problem that nobody was told of.
    fn next(&self) -> Option<(Report, Trouble)> {
        let mut state = self.state.lock();
        let State { now, told, changed } = &mut *state;
        while let Some(id) = changed.first().cloned() {
            let known = told.entry(id.clone()).or_default();
            let Some(report) = now.get(&id) else {
                changed.remove(&id);
                continue;
            };
            known.retain(|problem| report.problems.contains(problem));
            if let Some(new) = report.problems.iter().find(|problem| !known.contains(*problem)) {
                return Some((report.clone(), new.clone()));
            }
            if report.problems.is_empty() {
                now.remove(&id);
                told.remove(&id);
            }
            changed.remove(&id);
        }
        None
    }

    fn published(&self, report: &Report, problem: Trouble) {
        self.state.lock().told.entry((report.kind, report.key.clone())).or_default().insert(problem);
    }
}

/// Publishes for ever, while this replica leads.
pub(crate) async fn publish(client: Client, instance: String, reports: Arc<Reports>, mut leader: watch::Receiver<bool>) {
    let reporter = Reporter { controller: "keyward-operator".to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            () = reports.news.notified() => {}
            changed = leader.changed() => match changed {
                Ok(()) => reports.look_again(),
                Err(_) => return,
            },
        }
        while let Some((report, problem)) = reports.next().filter(|_| *leader.borrow()) {
            pace.wait().await;
            if is_told(recorder.publish(&warning(&problem), &reference(&report, &problem)).await, &report) {
                reports.published(&report, problem);
            } else {
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Whether nobody has to be told again: nobody can be told about what is no more, or is going.
fn is_told(published: kube::Result<()>, report: &Report) -> bool {
    let Err(error) = published else { return true };
    let refused = matches!(&error, kube::Error::Api(status) if matches!(status.code, 403 | 404 | 422));
    tracing::warn!(object.kind = report.kind.as_str(), object.name = %report.key, refused, %error, "an event could not be published");
    refused
}

/// Events must not be what the API server is busy with when thousands of routes break at once: a burst, then a few each second.
struct Pace {
    burst: u32,
    ticks: Interval,
}

impl Default for Pace {
    fn default() -> Self {
        let mut ticks = tokio::time::interval(SPACING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { burst: BURST, ticks }
    }
}

impl Pace {
    async fn wait(&mut self) {
        match self.burst.checked_sub(1) {
            Some(left) => self.burst = left,
            None => drop(self.ticks.tick().await),
        }
    }
}

fn warning(problem: &Trouble) -> Event {
    let note = match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    };
    let end = note.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= NOTE).last().unwrap_or_default();
    Event {
        type_: EventType::Warning,
        reason: problem.reason.clone(),
        note: note.get(..end).map(str::to_owned),
        action: "Translate".to_owned(),
        secondary: None,
    }
}

/// With its field: Events about different places of one object are told apart by it.
fn reference(report: &Report, problem: &Trouble) -> ObjectReference {
    let resource = resource(report.kind);
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(report.key.name.clone()),
        namespace: Some(report.key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        uid: report.uid.clone(),
        field_path: Some(problem.field.clone()).filter(|field| !field.is_empty()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_long_message_between_characters() {
        let event = warning(&Trouble { reason: "Reason".into(), field: "spec".into(), message: "é".repeat(2000) });
        assert!(event.note.is_some_and(|note| note.len() <= NOTE && note.starts_with("spec: é")));
    }
}

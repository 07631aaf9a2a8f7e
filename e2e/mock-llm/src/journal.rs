//! What the provider received: one page per request, written when its head arrives and completed as it goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Pages kept; the oldest go first, so that a long demo does not grow without end.
const MOST_PAGES: usize = 100_000;

/// One request as the provider saw it. Holds credentials in clear: that is what tests look for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 0 and is never used twice, not even after the journal was cleared.
    pub id: u64,
    /// The request method.
    pub method: String,
    /// Path and query, undecoded.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The `Host` header or `:authority`.
    pub authority: String,
    /// Names (lower case, as hyper gives them) and values in order of arrival; values of a repeated name stand together.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body received.
    pub body_len: u64,
    /// Whether the body arrived to its end.
    pub body_complete: bool,
    /// Whether the client went away before the answer was given to its end.
    pub left_early: bool,
}

impl Entry {
    /// All values of a header, by its lower-case name.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

#[derive(Default)]
struct Pages {
    next: u64,
    entries: VecDeque<Entry>,
}

/// The journal; clones write into the same one.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

impl Journal {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().entries.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().entries.clear();
    }

    /// Writes down a request's head.
    pub(crate) fn open(&self, head: &Parts) -> Visit {
        let mut pages = self.0.lock();
        let id = pages.next;
        pages.next += 1;
        if pages.entries.len() == MOST_PAGES {
            pages.entries.pop_front();
        }
        pages.entries.push_back(entry(id, head));
        Visit { journal: self.clone(), id, settled: AtomicBool::new(false) }
    }

    fn amend(&self, id: u64, change: impl FnOnce(&mut Entry)) {
        let mut pages = self.0.lock();
        if let Some(entry) = pages.entries.iter_mut().rev().find(|entry| entry.id == id) {
            change(entry);
        }
    }
}

fn entry(id: u64, head: &Parts) -> Entry {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = head.headers.get(http::header::HOST).map(text);
    Entry {
        id,
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        version: format!("{:?}", head.version),
        authority: head.uri.authority().map(ToString::to_string).or(host).unwrap_or_default(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body_len: 0,
        body_complete: false,
        left_early: false,
    }
}

/// A request being answered. Dropped before it is settled, it tells the journal that the client left.
pub(crate) struct Visit {
    journal: Journal,
    id: u64,
    settled: AtomicBool,
}

impl Visit {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Notes how much of the body came.
    pub(crate) fn body(&self, len: usize, complete: bool) {
        self.journal.amend(self.id, |entry| {
            entry.body_len = u64::try_from(len).unwrap_or(u64::MAX);
            entry.body_complete = complete;
        });
    }

    /// The answer was given to its end, or the mock itself broke it off.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// The client went away, unless the answer had been settled before.
    pub(crate) fn leave(&self) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            self.journal.amend(self.id, |entry| entry.left_early = true);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.leave();
    }
}

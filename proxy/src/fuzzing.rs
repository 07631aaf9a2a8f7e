//! The doors that the fuzz targets knock at, without the sockets around them. Compiled under `cfg(fuzzing)` only.

use http::{HeaderMap, request};
use policy::Reason;

use crate::headers;
use crate::model::ModelWriter;
use crate::usage::{Format, UsageReader};

/// Settles on one `Host` and an origin-form target.
pub fn settle_host(head: &mut request::Parts) -> Result<(), Reason> {
    headers::settle_host(head)
}

/// Whether the client asks to speak WebSocket.
pub fn wants_upgrade(head: &request::Parts) -> bool {
    headers::wants_upgrade(head)
}

/// Removes what concerns only one hop.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    headers::strip_hop_by_hop(headers, upgrade);
}

/// A request body as it is sent when the Upstream fixes the model; `None`: it is refused.
pub fn rewrite_model<'c>(model: &str, chunks: impl IntoIterator<Item = &'c [u8]>) -> Option<Vec<u8>> {
    let (mut writer, mut sent) = (ModelWriter::new(model), Vec::new());
    for chunk in chunks {
        sent.extend_from_slice(&writer.feed(chunk).ok()?);
    }
    Some(sent)
}

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As one JSON value.
    Json,
    /// As a stream of events.
    Events,
}

/// What a provider says it counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Tokens of the request.
    pub input: Option<u64>,
    /// Tokens of the answer.
    pub output: Option<u64>,
    /// Model that answered.
    pub model: Option<String>,
}

/// Follows one answer.
#[derive(Debug)]
pub struct Reader(UsageReader);

impl Reader {
    /// At the answer's first byte.
    pub fn new(answer: Answer) -> Self {
        Self(UsageReader::new(match answer {
            Answer::Json => Format::Json,
            Answer::Events => Format::Events,
        }))
    }

    /// Takes note of the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    /// Bytes kept for later.
    pub fn held(&self) -> usize {
        self.0.held()
    }

    /// What was counted by now.
    pub fn finish(self) -> Option<Counted> {
        let usage = self.0.finish()?;
        Some(Counted { input: usage.input, output: usage.output, model: usage.model })
    }
}

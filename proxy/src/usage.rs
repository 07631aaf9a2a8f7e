//! Token usage, read from a provider's answer as it passes: from the tail of a JSON body, from each event of a stream. Nothing is
//! delayed, and a body of any size costs a bounded buffer.

use memchr::memmem;
use serde::Deserialize;

/// How much of a JSON answer's end is kept: providers put `usage` last.
const TAIL: usize = 16 * 1024;
/// A line of a stream longer than this is not read.
const LONGEST_LINE: usize = 64 * 1024;

/// A usage object is shorter, and a piece of an answer has fewer of them: a hostile provider must not keep us busy.
const LONGEST_USAGE: usize = 4 * 1024;
const MOST_HITS: usize = 64;

/// What a provider says it counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) input: Option<u64>,
    pub(crate) output: Option<u64>,
    pub(crate) model: Option<String>,
}

/// Follows one answer.
#[derive(Debug)]
pub(crate) struct UsageReader {
    format: Format,
    /// JSON: the tail so far. Stream: a line that is not complete yet.
    held: Vec<u8>,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Events,
}

/// OpenAI's, Anthropic's and Google's names for the same two numbers.
#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<u64>,
}

impl Counts {
    fn input(&self) -> Option<u64> {
        self.prompt_tokens.or(self.input_tokens).or(self.prompt_token_count)
    }

    fn output(&self) -> Option<u64> {
        self.completion_tokens.or(self.output_tokens).or(self.candidates_token_count)
    }
}

impl UsageReader {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, held: Vec::new(), usage: Usage::default() }
    }

    /// Takes note of the next bytes of the answer.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        match self.format {
            Format::Json => self.keep_tail(bytes),
            Format::Events if self.held.is_empty() && bytes.ends_with(b"\n") => self.scan(bytes),
            Format::Events => self.feed_lines(bytes),
        }
    }

    /// What was counted, when the answer ends or is cut off.
    pub(crate) fn finish(mut self) -> Option<Usage> {
        let held = std::mem::take(&mut self.held);
        self.scan(&held);
        (self.usage.input.is_some() || self.usage.output.is_some()).then_some(self.usage)
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        if self.usage.model.is_none() {
            self.usage.model = model(bytes);
        }
        if self.held.len() + bytes.len() > 2 * TAIL {
            let keep = TAIL.saturating_sub(bytes.len()).min(self.held.len());
            self.held.drain(..self.held.len() - keep);
        }
        self.held.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
    }

    fn feed_lines(&mut self, bytes: &[u8]) {
        let complete = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let (lines, rest) = bytes.split_at(complete);
        if !lines.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(lines);
            self.scan(&held);
            held.clear();
            self.held = held;
        }
        match self.held.len() + rest.len() <= LONGEST_LINE {
            true => self.held.extend_from_slice(rest),
            false => self.held.clear(),
        }
    }

    /// Later counts replace earlier ones: streams repeat them as they grow.
    fn scan(&mut self, text: &[u8]) {
        for at in memmem::find_iter(text, br#""usage"#).take(MOST_HITS) {
            let Some(counts) = counts(&text[at..text.len().min(at + LONGEST_USAGE)]) else { continue };
            self.usage.input = counts.input().filter(|input| *input > 0).or(self.usage.input);
            self.usage.output = counts.output().or(self.usage.output);
            if self.usage.model.is_none() {
                self.usage.model = model(text);
            }
        }
    }
}

/// Reads the object after `"usage":` or `"usageMetadata":`. An escaped quote cannot stand there: inside a text the quotes are escaped.
fn counts(text: &[u8]) -> Option<Counts> {
    let rest = text.strip_prefix(br#""usageMetadata""#).or_else(|| text.strip_prefix(br#""usage""#))?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    rest.starts_with(b"{").then(|| serde_json::Deserializer::from_slice(rest).into_iter::<Counts>().next()?.ok())?
}

/// The first `"model":"…"` or `"modelVersion":"…"`; `"role":"model"` is neither.
fn model(text: &[u8]) -> Option<String> {
    memmem::find_iter(text, br#""model"#).take(MOST_HITS).find_map(|at| {
        let rest = &text[at..];
        let rest = rest.strip_prefix(br#""modelVersion""#).or_else(|| rest.strip_prefix(br#""model""#))?;
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let name = &rest[..memchr::memchr(b'"', rest)?];
        (name.len() <= 128).then(|| String::from_utf8(name.to_vec()).ok())?
    })
}

#[cfg(fuzzing)]
impl UsageReader {
    /// Bytes kept for later.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(format: Format, chunks: &[&str]) -> Option<Usage> {
        let mut reader = UsageReader::new(format);
        chunks.iter().for_each(|chunk| reader.feed(chunk.as_bytes()));
        reader.finish()
    }

    fn usage(input: u64, output: u64, model: &str) -> Option<Usage> {
        Some(Usage { input: Some(input), output: Some(output), model: Some(model.into()) })
    }

    #[test]
    fn reads_each_providers_json() {
        let openai = r#"{"model":"gpt-4o","choices":[{"message":{"content":"say \"usage\": {}"}}],"usage":{"prompt_tokens":3,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}}"#;
        let anthropic = r#"{"model": "claude", "usage": {"input_tokens": 3, "output_tokens": 5}}"#;
        let gemini = r#"{"candidates":[{"content":{"role":"model"}}],"modelVersion":"gemini","usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5,"totalTokenCount":8}}"#;
        assert_eq!(read(Format::Json, &[openai]), usage(3, 5, "gpt-4o"));
        assert_eq!(read(Format::Json, &[anthropic]), usage(3, 5, "claude"));
        assert_eq!(read(Format::Json, &[gemini]), usage(3, 5, "gemini"));
    }

    #[test]
    fn reads_streams_whose_counts_come_in_parts() {
        let anthropic = [
            "data: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
            "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}\n\n",
        ];
        assert_eq!(read(Format::Events, &anthropic), usage(3, 5, "claude"));
        let openai = "data: {\"model\":\"m\",\"choices\":[],\"usage\":null}\n\ndata: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
        assert_eq!(read(Format::Events, &[openai]), usage(3, 5, "m"));
    }

    #[test]
    fn a_stream_cut_off_counts_what_was_seen() {
        let cut = "data: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}";
        assert_eq!(read(Format::Events, &[cut]), usage(3, 5, "m"));
    }

    #[test]
    fn a_long_answer_is_read_from_its_end_in_bounded_memory() {
        let mut reader = UsageReader::new(Format::Json);
        reader.feed(br#"{"model":"m","text":""#);
        (0..1000).for_each(|_| reader.feed(&[b'x'; 1000]));
        assert!(reader.held.len() <= 2 * TAIL);
        reader.feed(br#"","usage":{"prompt_tokens":3,"completion_tokens":5}}"#);
        assert_eq!(reader.finish(), usage(3, 5, "m"));
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_counts(cuts in proptest::collection::vec(0usize..160, 0..6)) {
            let text = "data: {\"model\":\"m\",\"usage\":null}\n\ndata: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(Format::Events, &chunks), usage(3, 5, "m"));
        }

        #[test]
        fn any_bytes_are_read_without_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..8)) {
            for format in [Format::Json, Format::Events] {
                let mut reader = UsageReader::new(format);
                chunks.iter().for_each(|chunk| reader.feed(chunk));
                let _ = reader.finish();
            }
        }
    }
}

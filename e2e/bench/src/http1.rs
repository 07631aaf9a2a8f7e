//! As much of HTTP/1.1 as the load client and the backend need: heads, lengths, chunks. It knows what the bench sends and is no
//! parser for strangers' bytes.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use memchr::{memchr, memmem};

/// Where a whole message lies at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bytes of its head, with the empty line.
    pub head: usize,
    /// Bytes of all of it.
    pub total: usize,
    /// Whether its body is in chunks.
    pub chunked: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After that many bytes.
    Length(usize),
    /// With the last chunk.
    Chunked,
}

/// Bytes of the head, with the empty line, once it is there whole.
pub fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Names and values of a head's fields.
pub fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(head).skip(1).filter_map(|line| {
        let colon = memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    })
}

/// How the body after this head ends; without a length there is none.
pub fn framing(head: &[u8]) -> Result<Framing> {
    let mut framing = Framing::Length(0);
    for (name, value) in headers(head) {
        if name.eq_ignore_ascii_case(b"content-length") {
            framing = Framing::Length(std::str::from_utf8(value)?.parse().context("content-length")?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(Framing::Chunked);
        }
    }
    Ok(framing)
}

/// The message at the start of `bytes`, once it is there whole.
pub fn message(bytes: &[u8]) -> Result<Option<Message>> {
    let Some(head) = end_of_head(bytes) else { return Ok(None) };
    match framing(&bytes[..head])? {
        Framing::Length(length) => Ok((bytes.len() >= head + length).then_some(Message { head, total: head + length, chunked: false })),
        Framing::Chunked => {
            let mut chunks = Chunks::default();
            let consumed = chunks.feed(&bytes[head..], |_| {})?;
            Ok(chunks.done().then_some(Message { head, total: head + consumed, chunked: true }))
        }
    }
}

/// The body of a message that [`message`] found.
pub fn body<'b>(bytes: &'b [u8], message: &Message) -> Result<Cow<'b, [u8]>> {
    let raw = &bytes[message.head..message.total];
    if !message.chunked {
        return Ok(Cow::Borrowed(raw));
    }
    let mut body = Vec::with_capacity(raw.len());
    Chunks::default().feed(raw, |data| body.extend_from_slice(data))?;
    Ok(Cow::Owned(body))
}

/// One chunk around `data`.
pub fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Takes chunks apart as they come.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    left: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    Data,
    EndOfData,
    Trailer {
        empty: bool,
    },
    Done,
}

impl Chunks {
    /// Whether the last chunk has come.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes in more bytes up to the end of the last chunk, hands the data to `sink`, and says how many it took.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> Result<usize> {
        let mut rest = bytes;
        while !self.done() {
            let Some((byte, after)) = rest.split_first() else { break };
            if self.state != State::Data {
                rest = after;
                self.step(*byte)?;
                continue;
            }
            let (data, after) = rest.split_at(self.left.min(rest.len()));
            sink(data);
            rest = after;
            self.left -= data.len();
            if self.left == 0 {
                self.state = State::EndOfData;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn step(&mut self, byte: u8) -> Result<()> {
        self.state = match (self.state, byte) {
            (State::Size | State::Extension, b'\n') if self.left == 0 => State::Trailer { empty: true },
            (State::Size | State::Extension, b'\n') => State::Data,
            (State::Size, b'\r') => State::Size,
            (State::Size, b';') => State::Extension,
            (State::Size, digit) => {
                let digit = char::from(digit).to_digit(16).context("a chunk size that is no number")? as usize;
                self.left = self.left * 16 + digit;
                if self.left > 1 << 24 {
                    bail!("a chunk of {} bytes", self.left);
                }
                State::Size
            }
            (State::EndOfData, b'\n') => State::Size,
            (State::Trailer { empty: true }, b'\n') => State::Done,
            (State::Trailer { empty: false }, b'\n') => State::Trailer { empty: true },
            (State::Trailer { empty }, byte) => State::Trailer { empty: empty && byte == b'\r' },
            (state, _) => state,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_message_only_once_it_is_whole() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP";
        let whole = Message { head: 38, total: 40, chunked: false };
        assert_eq!(message(&bytes[..39]).unwrap(), None);
        assert_eq!(message(bytes).unwrap(), Some(whole));
        assert_eq!(&*body(bytes, &whole).unwrap(), b"ok");
    }

    #[test]
    fn takes_chunks_apart_however_they_are_cut() {
        let bytes = b"5;x=y\r\nhello\r\n1\r\n \r\n6\r\nworld!\r\n0\r\nt: v\r\n\r\nrest";
        for cut in 0..bytes.len() {
            let (mut chunks, mut data) = (Chunks::default(), Vec::new());
            let first = chunks.feed(&bytes[..cut], |part| data.extend_from_slice(part)).unwrap();
            let second = chunks.feed(&bytes[first.max(cut)..], |part| data.extend_from_slice(part)).unwrap();
            assert!(chunks.done() && data == b"hello world!", "cut at {cut}");
            assert!(first + second <= bytes.len() - 4, "cut at {cut}");
        }
    }

    #[test]
    fn refuses_a_chunk_size_that_is_no_number() {
        assert!(Chunks::default().feed(b"zz\r\n", |_| {}).is_err());
    }
}

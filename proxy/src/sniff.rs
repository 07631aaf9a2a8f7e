//! What hyper does not tell: whether a plain connection starts with HTTP/2, and whether a head had both lengths.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits for a client's first bytes, without taking them: an open connection that says nothing costs no buffer.
pub(crate) async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(2);
    loop {
        let read = stream.peek(&mut first).await?;
        match &first[..read] {
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            PREFACE => return Ok(true),
            // Rare: the preface in pieces. The socket stays readable, so waiting for more means waiting a while.
            part if PREFACE.starts_with(part) => {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(Duration::from_millis(500));
            }
            _ => return Ok(false),
        }
    }
}

/// Whether the head being read names `Content-Length`. hyper drops that header when `Transfer-Encoding` came first, so a request with
/// both looks harmless by the time a service sees it.
#[derive(Clone, Debug)]
pub(crate) struct SeenLength(Arc<Flags>);

#[derive(Debug)]
struct Flags {
    /// A head is being read, not a body.
    in_head: AtomicBool,
    seen: AtomicBool,
}

impl SeenLength {
    /// Whether the head just read named a length.
    pub(crate) fn take(&self) -> bool {
        self.0.seen.swap(false, Ordering::Relaxed)
    }

    /// The answer is out: what comes next is a head.
    pub(crate) fn next_head(&self) {
        self.0.in_head.store(true, Ordering::Relaxed);
    }

    /// Looks at bytes up to the end of the head. A head that came with the body before it (pipelining), or a name cut in two by reads,
    /// is not seen: then hyper's own rule holds, which frames by `Transfer-Encoding` and closes the connection.
    fn look_at(&self, bytes: &[u8]) {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n");
        if names_length(&bytes[..end.unwrap_or(bytes.len())]) {
            self.0.seen.store(true, Ordering::Relaxed);
        }
        if end.is_some() {
            self.0.in_head.store(false, Ordering::Relaxed);
        }
    }
}

/// Looks at what is read from a client, and changes nothing.
pub(crate) struct HeadWatch<S> {
    inner: S,
    lengths: SeenLength,
}

impl<S> HeadWatch<S> {
    pub(crate) fn new(inner: S) -> (Self, SeenLength) {
        let lengths = SeenLength(Arc::new(Flags { in_head: AtomicBool::new(true), seen: AtomicBool::new(false) }));
        (Self { inner, lengths: lengths.clone() }, lengths)
    }
}

/// Whether a line starts with `content-length`, in any case.
fn names_length(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    memchr::memchr_iter(b'\n', bytes).any(|at| bytes.get(at + 1..at + 1 + NAME.len()).is_some_and(|line| line.eq_ignore_ascii_case(NAME)))
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadWatch<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if self.lengths.0.in_head.load(Ordering::Relaxed) {
            self.lengths.look_at(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadWatch<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_length_at_the_start_of_a_line_only() {
        assert!(names_length(b"POST / HTTP/1.1\r\nHost: a\r\ncOntent-Length: 1\r\n"));
        assert!(!names_length(b"POST / HTTP/1.1\r\nX: content-length: 1\r\n"));
    }
}

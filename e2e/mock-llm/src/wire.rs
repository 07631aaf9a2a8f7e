//! A socket that can be torn down, or written to raw, while hyper is serving HTTP on it: what a misbehaving provider needs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// How a connection ends when the mock ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teardown {
    /// The socket is closed as it is, without a TLS close.
    Close,
    /// Bytes that are no HTTP are written, then the socket is closed.
    Garbage,
}

/// No HTTP/1.1 status line, no HTTP/2 frame of a known shape.
const GARBAGE: &[u8] = b"\x00\xff\xfe this is not HTTP at all \x7f\r\n\r\n";

/// A stream with several owners; each of them may read and write.
pub(crate) struct Shared<S>(Arc<Mutex<S>>);

impl<S> Shared<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Shared<S> {
    /// Ends the connection once hyper has let go of it.
    pub(crate) async fn tear_down(mut self, how: Teardown) {
        if how == Teardown::Garbage && self.write_all(GARBAGE).await.is_ok() {
            // The client may have gone already; there is nobody left to tell.
            let _ = self.flush().await;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Shared<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shared<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }
}

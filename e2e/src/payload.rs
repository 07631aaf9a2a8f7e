//! Bodies that tests send: whole, repeated, or frame by frame as the test goes on.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

/// A body.
pub enum Payload {
    /// The same bytes, this many times.
    Repeated(Bytes, usize),
    /// What the other end of the channel sends; its length is not known before.
    Stream(mpsc::Receiver<Frame<Bytes>>),
}

impl Payload {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Repeated(Bytes::new(), 0)
    }

    /// A body of known length.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Repeated(bytes.into(), 1)
    }

    /// A body that ends when the sender is dropped.
    #[must_use]
    pub fn stream() -> (mpsc::Sender<Frame<Bytes>>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, Self::Stream(receiver))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Repeated(_, 0) => Poll::Ready(None),
            Self::Repeated(bytes, left) => {
                *left -= 1;
                Poll::Ready(Some(Ok(Frame::data(bytes.clone()))))
            }
            Self::Stream(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Repeated(_, 0))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Repeated(bytes, left) => SizeHint::with_exact((bytes.len() * left) as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

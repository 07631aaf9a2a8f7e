//! Bodies as they pass: streamed frame by frame, counted, timed, and for AI answers read for token usage. Nothing is buffered but what a
//! retry may have to send again.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use policy::ProviderKind;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::metrics::{Metrics, Traffic};
use crate::model::ModelWriter;
use crate::pool::Lease;
use crate::session::Session;
use crate::usage::UsageReader;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way to a backend.
pub(crate) enum RequestBody {
    Empty,
    /// Can be sent again.
    Kept(Option<Bytes>),
    Stream(Streamed),
    /// What only some rules do to a body.
    Special(Box<Special>),
    /// A mirror's copy. It ends with `None`; without, it was broken off.
    Copy(mpsc::Receiver<Option<Bytes>>),
}

/// A client's body, as it comes.
pub(crate) struct Streamed {
    incoming: Incoming,
    metrics: Arc<Metrics>,
    /// Providers get none: a trailer can be a header by another way, and so a credential.
    trailers: bool,
}

/// A body that is rewritten or copied on its way.
pub(crate) struct Special {
    pub(crate) inner: RequestBody,
    pub(crate) model: Option<ModelWriter>,
    pub(crate) mirrors: Vec<mpsc::Sender<Option<Bytes>>>,
    /// Set when the body was refused: over HTTP/2, the backend's answer to that is all that is seen of it.
    pub(crate) refused: Arc<AtomicBool>,
}

impl RequestBody {
    /// Tells later whether the body was refused on its way.
    pub(crate) fn refused(&self) -> Option<Arc<AtomicBool>> {
        match self {
            Self::Special(special) => Some(Arc::clone(&special.refused)),
            Self::Empty | Self::Kept(_) | Self::Stream(_) | Self::Copy(_) => None,
        }
    }

    pub(crate) fn new(incoming: Incoming, metrics: &Arc<Metrics>, trailers: bool) -> Self {
        match incoming.is_end_stream() {
            true => Self::Empty,
            false => Self::Stream(Streamed { incoming, metrics: Arc::clone(metrics), trailers }),
        }
    }

    /// A second one of the same content, where that is possible.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Kept(bytes) => Some(Self::Kept(bytes.clone())),
            Self::Stream(_) | Self::Special(_) | Self::Copy(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Kept(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(streamed) => streamed.poll_frame(cx),
            Self::Special(special) => special.poll_frame(cx),
            Self::Copy(frames) => frames.poll_recv(cx).map(|copied| match copied {
                Some(bytes) => bytes.map(|bytes| Ok(Frame::data(bytes))),
                None => Some(Err("the copied request was broken off".into())),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(bytes) => bytes.is_none(),
            Self::Stream(streamed) => streamed.incoming.is_end_stream(),
            Self::Special(special) => special.inner.is_end_stream(),
            Self::Copy(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Kept(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(streamed) => streamed.incoming.size_hint(),
            Self::Special(special) if special.model.is_none() => special.inner.size_hint(),
            Self::Special(_) | Self::Copy(_) => SizeHint::default(),
        }
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && !self.trailers => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.metrics.request_bytes.inc_by(frame.data_ref().map_or(0, |data| data.len() as u64));
                polled.map_err(Into::into)
            }
            Poll::Ready(Some(Err(_)) | None) | Poll::Pending => polled.map_err(Into::into),
        }
    }
}

impl Special {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let frame = match polled {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(None) => {
                self.end_copies();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => return polled,
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => {
                self.end_copies();
                return Poll::Ready(Some(Ok(trailers)));
            }
        };
        // A mirror that cannot keep up is given up: it must never hold back the request it copies.
        self.mirrors.retain(|mirror| mirror.try_send(Some(data.clone())).is_ok());
        if self.inner.is_end_stream() {
            self.end_copies();
        }
        let data = self.model.as_mut().map_or_else(|| Ok(data.clone()), |model| model.feed(&data));
        self.refused.fetch_or(data.is_err(), Ordering::Relaxed);
        Poll::Ready(Some(data.map(Frame::data).map_err(Into::into)))
    }

    fn end_copies(&mut self) {
        for mirror in self.mirrors.drain(..) {
            let _ = mirror.try_send(None);
        }
    }
}

/// A body on its way to a client.
pub(crate) enum ResponseBody {
    Own {
        bytes: Option<Bytes>,
        /// Dropped with the body.
        _tally: Option<Tally>,
    },
    Upstream(Box<UpstreamBody>),
}

impl ResponseBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Own { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), _tally: None }
    }

    pub(crate) fn tallied(self, tally: Tally) -> Self {
        match self {
            Self::Own { bytes, .. } => Self::Own { bytes, _tally: Some(tally) },
            upstream @ Self::Upstream(_) => upstream,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own { bytes, .. } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { bytes, .. } => bytes.is_none(),
            Self::Upstream(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Upstream(body) => body.inner.size_hint(),
        }
    }
}

/// A backend's answer as it passes. Dropped before its end (the client went away), it drops the upstream connection with it.
pub(crate) struct UpstreamBody {
    pub(crate) inner: Incoming,
    /// Gives the connection back to its pool when the answer is complete.
    pub(crate) lease: Option<Lease>,
    pub(crate) ended: bool,
    pub(crate) clock: IdleClock,
    /// With whose it is, and of what operation.
    pub(crate) usage: Option<(UsageReader, (ProviderKind, &'static str))>,
    pub(crate) tally: Tally,
}

impl UpstreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.clock.progressed();
                self.ended |= frame.is_trailers();
                if let Some(data) = frame.data_ref() {
                    self.tally.metrics().response_bytes.inc_by(data.len() as u64);
                    if let Some((usage, _)) = &mut self.usage {
                        usage.feed(data);
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::info!(upstream.error = %error, "backend cut its answer off");
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => self.clock.poll_expired(cx).map(|()| Some(Err("the backend paused for too long".into()))),
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| self.ended || self.inner.is_end_stream()) {
            lease.give_back();
        }
        if let Some((usage, whose)) = self.usage.take()
            && let Some(usage) = usage.finish()
        {
            self.tally.metrics().used(whose, &usage);
        }
    }
}

/// Records an answer when it is over, however it ends.
pub(crate) struct Tally {
    pub(crate) session: Arc<Session>,
    pub(crate) traffic: Traffic,
    pub(crate) status: StatusCode,
    pub(crate) started: std::time::Instant,
}

impl Tally {
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.session.via.worker.metrics
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.session.finished();
        self.metrics().answered(self.traffic, self.status, self.started.elapsed());
    }
}

/// Expires when nothing came for a while, or at a deadline. Its timer is made at the first pause: most answers never pause.
pub(crate) struct IdleClock {
    idle: Duration,
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    progressed: bool,
}

impl IdleClock {
    pub(crate) fn new(idle: Duration, deadline: Option<Instant>) -> Self {
        Self { idle, deadline, timer: None, progressed: false }
    }

    fn progressed(&mut self) {
        self.progressed = true;
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next(self.idle, self.deadline))));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let late = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
            if late || !std::mem::take(&mut self.progressed) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(next(self.idle, self.deadline));
        }
    }
}

/// A moment in the future; a limit beyond all bounds is a year.
pub(crate) fn after(limit: Duration) -> Instant {
    Instant::now() + limit.min(Duration::from_secs(365 * 24 * 3600))
}

fn next(idle: Duration, deadline: Option<Instant>) -> Instant {
    let idle = after(idle);
    deadline.map_or(idle, |deadline| deadline.min(idle))
}

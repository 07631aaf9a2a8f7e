//! Gives an answer: well, or as badly as the request's modes ask.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::journal::Visit;
use crate::modes::{Modes, Wreck};
use crate::openai;
use crate::server::Seat;
use crate::wire::Teardown;

/// The longest that a hanging answer hangs; a forgotten test must not hold a connection for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
/// Time for hyper to put on the wire what precedes a break.
const FLUSH: Duration = Duration::from_millis(50);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// What the provider has to say.
pub(crate) enum Answer {
    /// A status and a JSON body.
    Json(StatusCode, Value),
    /// A content type and the pieces of a streamed body.
    Stream(&'static str, Vec<Bytes>),
}

impl Answer {
    /// Server-sent events.
    pub(crate) fn events(frames: Vec<Bytes>) -> Self {
        Self::Stream(EVENTS, frames)
    }
}

/// The body of every response.
pub(crate) type Reply = Either<Full<Bytes>, Frames>;

/// A plain JSON answer, outside any mode.
pub(crate) fn refuse(status: StatusCode, error: &Value) -> Response<Reply> {
    response(status, JSON, Either::Left(Full::from(error.to_string())))
}

/// Gives the answer as the modes want it.
pub(crate) async fn perform(seat: &Seat, answer: Answer, modes: &Modes, visit: Visit) -> Response<Reply> {
    if !modes.slow.is_zero() {
        tokio::time::sleep(modes.slow).await;
    }
    match modes.wreck {
        Some(Wreck::Garbage) => tear(seat, Teardown::Garbage, &visit).await,
        Some(Wreck::Nothing) => tear(seat, Teardown::Close, &visit).await,
        Some(Wreck::Hang) => {
            tokio::time::sleep(LONGEST).await;
            tear(seat, Teardown::Close, &visit).await
        }
        Some(Wreck::Cut | Wreck::CutStream | Wreck::StallStream) | None => give(seat, answer, modes, visit),
    }
}

/// Ends the connection under the request; the response is never asked for again.
async fn tear(seat: &Seat, how: Teardown, visit: &Visit) -> Response<Reply> {
    visit.settle();
    // The receiver lives as long as the connection; without one there is nothing left to tear down.
    let _ = seat.tear.send(how);
    std::future::pending().await
}

fn give(seat: &Seat, answer: Answer, modes: &Modes, visit: Visit) -> Response<Reply> {
    let gap = modes.gap.unwrap_or_default();
    match (answer, modes.wreck) {
        (Answer::Json(status, value), Some(Wreck::Cut)) => cut_in_half(seat, status, &value, visit),
        (Answer::Json(..), Some(Wreck::CutStream | Wreck::StallStream)) => {
            visit.settle();
            let error = openai::error("This mock mode needs a streamed answer.", "invalid_request_error", Some("unknown_mock_mode"));
            refuse(StatusCode::BAD_REQUEST, &error)
        }
        (Answer::Json(status, value), _) => {
            visit.settle();
            refuse(status, &value)
        }
        (Answer::Stream(kind, frames), wreck) => {
            let script = script(frames, gap, wreck);
            let mut response = response(StatusCode::OK, kind, Either::Right(start(seat, script, visit)));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
    }
}

fn cut_in_half(seat: &Seat, status: StatusCode, value: &Value, visit: Visit) -> Response<Reply> {
    let body = Bytes::from(value.to_string());
    let script = Script { frames: vec![body.slice(..body.len() / 2)], gap: Duration::ZERO, end: End::Cut };
    let mut response = response(status, JSON, Either::Right(start(seat, script, visit)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    response
}

fn response(status: StatusCode, kind: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// How a streamed body ends.
#[derive(Clone, Copy)]
enum End {
    Well,
    Cut,
    Stall,
}

/// A streamed body: what to send, at which pace, and how to end.
struct Script {
    frames: Vec<Bytes>,
    gap: Duration,
    end: End,
}

fn script(mut frames: Vec<Bytes>, gap: Duration, wreck: Option<Wreck>) -> Script {
    let end = match wreck {
        Some(Wreck::Cut | Wreck::CutStream) => {
            let middle = frames.len() / 2;
            frames.truncate(middle + 1);
            if let Some(last) = frames.last_mut() {
                last.truncate(last.len() / 2);
            }
            End::Cut
        }
        Some(Wreck::StallStream) => {
            frames.truncate(2);
            End::Stall
        }
        Some(Wreck::Garbage | Wreck::Nothing | Wreck::Hang) | None => End::Well,
    };
    Script { frames, gap, end }
}

/// Starts sending; the body is what hyper reads from.
fn start(seat: &Seat, script: Script, visit: Visit) -> Frames {
    let visit = Arc::new(visit);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(send(script, sender, seat.tear.clone(), Arc::clone(&visit)));
    Frames { receiver, visit }
}

async fn send(script: Script, sender: mpsc::Sender<Bytes>, tear: mpsc::UnboundedSender<Teardown>, visit: Arc<Visit>) {
    for (index, frame) in script.frames.into_iter().enumerate() {
        if index > 0 && !script.gap.is_zero() {
            tokio::time::sleep(script.gap).await;
        }
        if sender.send(frame).await.is_err() {
            return;
        }
    }
    let wait = match script.end {
        End::Well => return,
        End::Cut => FLUSH,
        End::Stall => LONGEST,
    };
    tokio::select! {
        // The client left first; dropping the body has told the journal.
        () = sender.closed() => {}
        () = tokio::time::sleep(wait) => {
            visit.settle();
            let _ = tear.send(Teardown::Close);
            // Holding the sender keeps the body from ending well in the moment before the connection is closed.
            sender.closed().await;
        }
    }
}

/// A body fed by [`send`]. Dropped before its end, it tells the journal that the client left.
pub(crate) struct Frames {
    receiver: mpsc::Receiver<Bytes>,
    visit: Arc<Visit>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = std::task::ready!(self.receiver.poll_recv(cx));
        if next.is_none() {
            self.visit.settle();
        }
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.visit.leave();
    }
}

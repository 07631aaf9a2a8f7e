//! One request, told from end to end: write it down, check it, find the answer, give it (or ruin it).

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::endpoint::{Endpoint, Operation};
use crate::journal::Visit;
use crate::modes::{self, Modes};
use crate::play::{self, Answer, Reply};
use crate::server::{Seat, State};
use crate::{anthropic, gemini, keys, openai};

/// Answers a request.
pub(crate) async fn answer(seat: &Seat, request: Request<Incoming>) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let visit = seat.state.journal.open(&head);
    let Some(body) = read(body, &visit).await else {
        let refusal = openai::error("The body broke off.", "invalid_request_error", None);
        return play::refuse(StatusCode::BAD_REQUEST, &refusal);
    };
    let (answer, modes) = match prepare(&seat.state, &head, &body, visit.id()) {
        Ok(prepared) => prepared,
        Err((status, error)) => (Answer::Json(status, error), Modes::default()),
    };
    play::perform(seat, answer, &modes, visit).await
}

/// The whole body, or nothing if it broke off.
async fn read(mut body: Incoming, visit: &Visit) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[] as &[u8], AsRef::as_ref)),
            Err(_) => {
                visit.body(bytes.len(), false);
                return None;
            }
        }
    }
    visit.body(bytes.len(), true);
    Some(bytes.freeze())
}

type Refusal = (StatusCode, Value);

fn prepare(state: &State, head: &Parts, body: &[u8], id: u64) -> Result<(Answer, Modes), Refusal> {
    let endpoint = Endpoint::of(&head.method, &head.uri, &state.base_path);
    keys::check(head, endpoint.provider, &state.keys.read())?;
    let body = parse(endpoint.operation, body)?;
    let mut modes = modes::chosen(&head.headers, &body)
        .map_err(|message| (StatusCode::BAD_REQUEST, openai::error(&message, "invalid_request_error", Some("unknown_mock_mode"))))?;
    modes.gap.get_or_insert(state.gap);
    let frames = *modes.frames.get_or_insert(state.frames);
    if let Some(status) = modes.fail {
        let error = openai::error("The server had an error while processing your request.", "server_error", None);
        return Ok((Answer::Json(status, error), modes));
    }
    let call = Call { head, body: &body, id, frames };
    Ok((call.answer(endpoint.operation)?, modes))
}

fn parse(operation: Operation, body: &[u8]) -> Result<Value, Refusal> {
    if matches!(operation, Operation::Models | Operation::Unknown) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|_| {
        let message = "We could not parse the JSON body of your request.";
        (StatusCode::BAD_REQUEST, openai::error(message, "invalid_request_error", None))
    })
}

/// A request that passed the checks.
struct Call<'a> {
    head: &'a Parts,
    body: &'a Value,
    id: u64,
    frames: usize,
}

impl Call<'_> {
    fn answer(&self, operation: Operation) -> Result<Answer, Refusal> {
        let streamed = self.body.get("stream").and_then(Value::as_bool).unwrap_or(false);
        let json = |value| Ok(Answer::Json(StatusCode::OK, value));
        match operation {
            Operation::Chat if self.body.get("messages").is_none() => Err(missing("messages")),
            Operation::Chat if streamed => Ok(Answer::events(openai::completion_stream(self.id, self.body, self.frames))),
            Operation::Chat => json(openai::completion(self.id, self.body)),
            Operation::Embeddings if self.body.get("input").is_none() => Err(missing("input")),
            Operation::Embeddings => json(openai::embeddings(self.body)),
            Operation::Models => json(openai::models()),
            Operation::Messages if self.body.get("messages").is_none() => Err(missing("messages")),
            Operation::Messages if streamed => Ok(Answer::events(anthropic::message_stream(self.id, self.body, self.frames))),
            Operation::Messages => json(anthropic::message(self.id, self.body)),
            Operation::Generate => json(gemini::content()),
            Operation::StreamGenerate => Ok(self.generate_stream()),
            Operation::Unknown => Err(self.unknown()),
        }
    }

    fn generate_stream(&self) -> Answer {
        let as_events = self.head.uri.query().unwrap_or_default().split('&').any(|pair| pair == "alt=sse");
        let frames = gemini::content_stream(self.frames.max(1), as_events);
        if as_events { Answer::events(frames) } else { Answer::Stream("application/json", frames) }
    }

    fn unknown(&self) -> Refusal {
        let message = format!("Invalid URL ({} {})", self.head.method, self.head.uri.path());
        (StatusCode::NOT_FOUND, openai::error(&message, "invalid_request_error", None))
    }
}

fn missing(field: &str) -> Refusal {
    let message = format!("Missing required parameter: '{field}'.");
    (StatusCode::BAD_REQUEST, openai::error(&message, "invalid_request_error", Some("missing_required_parameter")))
}

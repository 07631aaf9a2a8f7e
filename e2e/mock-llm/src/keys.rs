//! The credential check: one credential, in the place the provider wants it, and an accepted key. No key is ever echoed.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::Provider;
use crate::openai;

/// Where a credential can stand in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Authorization,
    XApiKey,
    ApiKey,
    XGoogApiKey,
    KeyInQuery,
}

const HEADERS: [(&str, Place); 4] = [
    ("authorization", Place::Authorization),
    ("x-api-key", Place::XApiKey),
    ("api-key", Place::ApiKey),
    ("x-goog-api-key", Place::XGoogApiKey),
];

/// Checks a request's credential; the error is the answer to give.
pub(crate) fn check(head: &Parts, provider: Provider, accepted: &[String]) -> Result<(), (StatusCode, Value)> {
    let mut found = in_headers(&head.headers);
    found.extend(in_query(head.uri.query().unwrap_or_default()));
    match found.as_slice() {
        [] => Err((StatusCode::UNAUTHORIZED, missing(provider))),
        [(place, value)] if *place == place_of(provider) && is_accepted(*place, value, accepted) => Ok(()),
        [_] => Err((StatusCode::UNAUTHORIZED, incorrect(provider))),
        // No provider says this. It is here so that a gateway which lets a second credential through fails its tests loudly.
        several => Err((StatusCode::BAD_REQUEST, more_than_one(several))),
    }
}

fn place_of(provider: Provider) -> Place {
    match provider {
        Provider::OpenAi | Provider::Vertex => Place::Authorization,
        Provider::Azure => Place::ApiKey,
        Provider::Anthropic => Place::XApiKey,
        Provider::Gemini => Place::XGoogApiKey,
    }
}

fn in_headers(headers: &HeaderMap) -> Vec<(Place, Vec<u8>)> {
    let each = |(name, place): (&'static str, Place)| headers.get_all(name).iter().map(move |value| (place, value.as_bytes().to_vec()));
    HEADERS.into_iter().flat_map(each).collect()
}

/// `key` in the query, whatever its casing and percent-encoding.
fn in_query(query: &str) -> Vec<(Place, Vec<u8>)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let each = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(name).eq_ignore_ascii_case(b"key").then(|| (Place::KeyInQuery, decode(value)))
    };
    query.split('&').filter_map(each).collect()
}

fn is_accepted(place: Place, value: &[u8], accepted: &[String]) -> bool {
    let key = match place {
        Place::Authorization => value.strip_prefix(b"Bearer "),
        Place::XApiKey | Place::ApiKey | Place::XGoogApiKey | Place::KeyInQuery => Some(value),
    };
    key.is_some_and(|key| accepted.iter().any(|known| known.as_bytes() == key))
}

fn missing(provider: Provider) -> Value {
    match provider {
        Provider::OpenAi | Provider::Azure => openai::error("You didn't provide an API key.", "invalid_request_error", None),
        other => in_own_shape(other),
    }
}

fn incorrect(provider: Provider) -> Value {
    match provider {
        Provider::OpenAi | Provider::Azure => {
            let message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.";
            openai::error(message, "invalid_request_error", Some("invalid_api_key"))
        }
        other => in_own_shape(other),
    }
}

fn in_own_shape(provider: Provider) -> Value {
    match provider {
        Provider::OpenAi | Provider::Azure => openai::error("Unauthorized.", "invalid_request_error", Some("invalid_api_key")),
        Provider::Anthropic => {
            json!({"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}})
        }
        Provider::Gemini | Provider::Vertex => {
            json!({"error": {"code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED"}})
        }
    }
}

fn more_than_one(found: &[(Place, Vec<u8>)]) -> Value {
    let places: Vec<String> = found.iter().map(|(place, _)| format!("{place:?}")).collect();
    let message = format!("More than one credential in the request: {}.", places.join(", "));
    openai::error(&message, "invalid_request_error", Some("more_than_one_credential"))
}

//! Reviews over HTTP. A review that cannot be read, or that makes us panic, is answered by a status of HTTP, which an API server takes as a
//! failed call; the other reviews go on.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::core::PartialObjectMeta;
use parking_lot::RwLock;
use pod::panic::{Panicked, contained};
use tokio_util::sync::CancellationToken;

use crate::answer::answer;
use crate::decide::{Verdict, decide};
use crate::metrics::Metrics;
use crate::namespaces::{Levels, Namespaces};
use crate::request::{LONGEST, Request, Undecodable};

/// Namespaces by their metadata.
pub type NamespaceApi = Api<PartialObjectMeta<Namespace>>;

/// A review takes no longer to arrive: no API server waits longer for its answer, and others should not be able to hold memory by it.
const SLOWEST: Duration = Duration::from_secs(10);

/// What reviews need.
pub struct Webhook {
    /// Levels of namespaces, as the watch tells them.
    pub namespaces: RwLock<Namespaces>,
    /// What has been answered.
    pub metrics: Metrics,
    /// For a namespace younger than what the watch has told.
    lookup: Option<NamespaceApi>,
    stop: CancellationToken,
}

impl Webhook {
    /// One that knows no namespace yet. Without `lookup` it knows only what it is told.
    pub fn new(defaults: Levels, lookup: impl Into<Option<NamespaceApi>>, stop: CancellationToken) -> Arc<Self> {
        let namespaces = RwLock::new(Namespaces::new(defaults));
        Arc::new(Self { namespaces, metrics: Metrics::new(), lookup: lookup.into(), stop })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// A namespace and an object in it may come in one `kubectl apply`, faster than the watch.
    async fn meet(&self, namespace: &str) {
        let unknown = self.namespaces.read().lacks(namespace);
        let Some(lookup) = self.lookup.as_ref().filter(|_| unknown) else { return };
        // Boxed, since it is rare: it would make every review three times as large.
        match Box::pin(lookup.get_opt(namespace)).await {
            Ok(Some(found)) => {
                self.namespaces.write().meet(namespace.to_owned(), &found.metadata.labels.unwrap_or_default());
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, namespace.name = namespace, "a namespace could not be looked up"),
        }
    }

    /// A review that panics must not end the others: with `failurePolicy: Fail` they would be refused, and the one would be sent again.
    async fn answer(&self, body: Option<Bytes>) -> Result<Vec<u8>, Failure> {
        let bytes = body.ok_or(Failure::TooLong)?;
        let request = contained(|| Request::decode(&bytes))??;
        if request.kind.is_some() {
            self.meet(&request.namespace).await;
        }
        let (verdict, answer) = contained(|| {
            let verdict = decide(&request, &self.namespaces.read());
            let answer = answer(&request.uid, &verdict);
            (verdict, answer)
        })?;
        self.metrics.reviewed(verdict.as_str());
        log(&request, &verdict);
        Ok(answer)
    }

    fn failed(&self, failure: &Failure) -> Response<Full<Bytes>> {
        self.metrics.reviewed(failure.as_str());
        tracing::warn!(reason = %failure, "a review could not be answered");
        response(failure.status(), "text/plain; charset=utf-8", format!("{failure}\n").into_bytes())
    }
}

/// Why a review has no answer. It says nothing of the object.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
enum Failure {
    #[error("a review longer than {longest} bytes, cut off, or too slow to arrive", longest = LONGEST)]
    TooLong,
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Undecodable(_) => StatusCode::BAD_REQUEST,
            Self::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// For metrics, beside a verdict's words.
    fn as_str(&self) -> &'static str {
        match self {
            Self::TooLong | Self::Undecodable(_) => "unreadable",
            Self::Panicked(_) => "failed",
        }
    }
}

/// One line per refusal; what the audit log may hold, the log may.
fn log(request: &Request, verdict: &Verdict) {
    if let Some(refusal) = &verdict.refusal {
        let violations = verdict.audit.get("violations").map(String::as_str).unwrap_or_default();
        let (kind, uid) = (request.kind_name, request.uid.as_str());
        tracing::info!(object.kind = kind, review.uid = uid, reason = refusal.reason, violations, "refused");
    }
}

/// Answers a request. Reviews are posted to `/validate`, and nothing else is here.
pub async fn respond<B>(webhook: &Webhook, request: hyper::Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if request.method() != Method::POST || request.uri().path() != "/validate" {
        return response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", b"POST /validate\n".to_vec());
    }
    let timer = webhook.metrics.seconds.start_timer();
    let body = tokio::time::timeout(SLOWEST, Limited::new(request.into_body(), LONGEST).collect()).await;
    let body = body.ok().and_then(Result::ok).map(Collected::to_bytes);
    let mut response = match webhook.answer(body).await {
        Ok(answer) => response(StatusCode::OK, "application/json", answer),
        Err(failure) => webhook.failed(&failure),
    };
    timer.observe_duration();
    // An API server keeps its connections. It lets go of them between two reviews, where nothing can be lost, when it is asked to.
    if webhook.is_stopping() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn response(status: StatusCode, content_type: &'static str, text: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::<Bytes>::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Refusal;

    #[test]
    fn every_answer_is_counted_by_its_word() {
        let metrics = Metrics::new();
        let refused = |code: u16| {
            let refusal = Refusal { code, reason: "Reason", message: String::new() };
            Verdict { refusal: Some(refusal), ..Verdict::default() }
        };
        let warned = Verdict { warnings: vec![String::new()], ..Verdict::default() };
        let verdicts = [Verdict::default(), warned, refused(403), refused(503)];
        let failures = [Failure::TooLong, Failure::Undecodable(Undecodable::Shape), Failure::Panicked(Panicked)];
        let words = verdicts.iter().map(Verdict::as_str).chain(failures.iter().map(Failure::as_str));
        words.for_each(|word| metrics.reviewed(word));
        let page = metrics.encode();
        for (word, times) in [("allowed", 1), ("warned", 1), ("refused", 1), ("retry", 1), ("unreadable", 2), ("failed", 1)] {
            let series = format!("keyward_webhook_reviews_total{{verdict=\"{word}\"}} {times}\n");
            assert!(page.contains(&series), "{series} is not in\n{page}");
        }
    }

    #[tokio::test]
    async fn a_review_that_panics_is_a_failed_call_and_counted() {
        let webhook = Webhook::new(Levels::default(), None::<NamespaceApi>, CancellationToken::new());
        let failure = contained(|| -> u8 { panic!("sk-canary") }).map_err(Failure::from).unwrap_err();
        let response = webhook.failed(&failure);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let said = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(said, "a defect: the log says where; please report it\n");
        assert!(webhook.metrics.encode().contains("keyward_webhook_reviews_total{verdict=\"failed\"} 1"));
    }
}

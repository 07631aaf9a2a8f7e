//! Any bytes may come as a review. Decoding never panics and its errors quote nothing; a request that can be read is decided in every kind
//! of namespace, the answer is JSON with its uid, and deletions, subresources and kinds that nobody judges always pass.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use webhook::answer::answer;
use webhook::request::Operation;
use webhook::{Levels, Namespaces, Request, decide};

const LEVELS: [&str; 4] = ["open", "protected", "restricted", "odd"];

static NAMESPACES: LazyLock<Namespaces> = LazyLock::new(|| {
    let mut namespaces = Namespaces::new(Levels::default());
    let labels = |level: &str| BTreeMap::from([("credentials.keyward.dev/enforce".to_owned(), level.to_owned())]);
    namespaces.replace(LEVELS.map(|level| (level.to_owned(), labels(level))).to_vec());
    namespaces
});

fuzz_target!(|bytes: &[u8]| judge(bytes));

fn judge(bytes: &[u8]) {
    let mut request = match Request::decode(bytes) {
        Ok(request) => request,
        Err(error) => {
            assert!(error.to_string().len() < 100, "{error}");
            return;
        }
    };
    for namespace in LEVELS.into_iter().chain(["unknown", ""]) {
        request.namespace = namespace.to_owned();
        is_answered(&request);
    }
}

fn is_answered(request: &Request) {
    let verdict = decide(request, &NAMESPACES);
    let text = answer(&request.uid, &verdict);
    let answer: Value = serde_json::from_slice(&text).expect("an answer is JSON");
    assert_eq!(answer["response"]["uid"], request.uid.as_str());
    assert!(text.len() < 64 * 1024 + 6 * request.uid.len(), "{} bytes", text.len());
    let harmless = request.operation == Operation::Other || request.subresource.is_some() || request.kind.is_none();
    assert!(!harmless || verdict.refusal.is_none(), "{verdict:?}");
}

//! Any JSON may be an object. The finder never panics, names only fields that we know, in one order, and a change that changes nothing
//! introduces nothing. What is moved into Secrets is gone from the Upstream.
#![no_main]

use crds::credentials::{inline_credentials, ratchet, remedy};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| judge(bytes));

fn judge(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Value>(bytes) else { return };
    for (version, kind) in [("gloo.solo.io/v1", "Upstream"), ("gateway.networking.k8s.io/v1", "HTTPRoute")] {
        is_found(&json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "u", "namespace": "n" }, "spec": spec }));
    }
    is_found(&spec);
}

fn is_found(object: &Value) {
    let found = inline_credentials(object);
    assert_eq!(found, inline_credentials(object), "the same twice");
    let sorted = found.windows(2).all(|pair| (pair[0].copy, &pair[0].field) <= (pair[1].copy, &pair[1].field));
    assert!(sorted, "{found:?}");
    let compared = ratchet::compare(object, Some(object));
    assert!(compared.introduced.is_empty() && compared.unchanged == found);
    if let Some(moved) = remedy::moved(object) {
        assert!(!moved.secrets.is_empty());
        let before = inline_credentials(object).len();
        assert!(inline_credentials(&moved.upstream).len() < before, "nothing was moved");
    }
}

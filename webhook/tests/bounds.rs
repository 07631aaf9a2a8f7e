//! The longest reviews that are read, each made to cost as much as it can: all are answered, in bounded time and memory. The bounds are wide
//! enough for any machine, and far below what anything quadratic would take.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use webhook::answer::answer;
use webhook::request::LONGEST;
use webhook::{Levels, Namespaces, Request, decide};

const SLOWEST: Duration = Duration::from_secs(20);
/// A short object in a list is eight bytes of JSON and half a kilobyte of memory.
const LARGEST_MIB: u64 = 640;

/// The most that this process has had at once, MiB.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.split_whitespace().next().context("VmHWM")?.parse::<u64>()? / 1024)
}

/// An Upstream whose `spec` is this JSON.
fn upstream(spec: &str) -> String {
    format!(
        "{{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{{\"name\":\"u\",\"namespace\":\"team\"}},\"spec\":{spec}}}"
    )
}

fn review(object: &str, old: Option<&str>) -> String {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let old = old.unwrap_or("null");
    format!(
        "{{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{{\"uid\":\"1\",\"namespace\":\"team\",\"name\":\"u\",\
         \"operation\":\"{operation}\",\"kind\":{{\"group\":\"gloo.solo.io\",\"version\":\"v1\",\"kind\":\"Upstream\"}},\
         \"object\":{object},\"oldObject\":{old}}}}}"
    )
}

/// A list of so many copies of `one` as fit into `length` bytes.
fn list(one: impl Fn(usize) -> String, length: usize) -> String {
    let count = length / (one(0).len() + 1);
    format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(","))
}

fn pools(length: usize, salt: &str) -> String {
    let entry = |nth: usize| format!("{{\"openai\":{{\"authToken\":{{\"inline\":\"canary{salt}{nth:07}\"}}}}}}");
    format!("{{\"ai\":{{\"multi\":{{\"priorities\":[{{\"pool\":{}}}]}}}}}}", list(entry, length))
}

#[test]
fn the_longest_reviews_are_answered_in_bounded_time_and_memory() -> anyhow::Result<()> {
    // The envelope fits beside it.
    let most = LONGEST - 4096;
    let provider = |nth: usize| format!("\"provider{nth:07}\":{{\"authToken\":{{\"inline\":\"canary\"}}}}");
    let providers = list(provider, most).replace('[', "{\"ai\":{").replace(']', "}}");
    let (old, new) = (upstream(&pools(most / 2, "a")), upstream(&pools(most / 2, "b")));
    let reviews = [
        review(&upstream(&format!("{{\"ai\":{}}}", list(|_| "{\"a\":0}".to_owned(), most))), None),
        review(&upstream(&format!("{{\"ai\":{}}}", list(|_| "[0]".to_owned(), most))), None),
        review(&upstream(&format!("{{\"ai\":{{\"openai\":{{\"authToken\":{{\"inline\":\"{}\"}}}}}}}}", "canary".repeat(most / 6))), None),
        review(&upstream(&providers), None),
        review(&upstream(&pools(most, "a")), None),
        review(&old, Some(&old)),
        review(&new, Some(&old)),
    ];
    let mut namespaces = Namespaces::new(Levels::default());
    namespaces.replace(vec![("team".to_owned(), [("credentials.keyward.dev/enforce".to_owned(), "protected".to_owned())].into())]);
    for (nth, review) in reviews.iter().enumerate() {
        ensure!(review.len() <= LONGEST && review.len() > LONGEST / 2, "review {nth} has {} bytes", review.len());
        let start = Instant::now();
        let request = Request::decode(review.as_bytes()).with_context(|| format!("review {nth}"))?;
        let text = answer(&request.uid, &decide(&request, &namespaces));
        let (took, peak) = (start.elapsed(), peak()?);
        ensure!(took < SLOWEST && peak < LARGEST_MIB, "review {nth}: {took:?}, {peak} MiB");
        let answer: Value = serde_json::from_slice(&text)?;
        ensure!(answer["response"]["uid"] == json!("1") && text.len() < 8 * 1024, "review {nth}: {} bytes", text.len());
        ensure!(!String::from_utf8_lossy(&text).contains("canary"), "review {nth}");
    }
    Ok(())
}

//! Certificates that live for seconds, under reviews all the time: none of them fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use keyward_e2e_kube::{Attempt, Cluster, Kind, Namespace, OwnWebhook, Page, Reviews};
use serde_json::json;

/// A serving certificate is renewed after about three seconds, an authority after ten: signing begins when it has been trusted for three.
const FLAGS: [&str; 3] = ["--leaf-life=4", "--ca-life=15", "--overlap=3"];
const EXPIRY: &str = "keyward_webhook_cert_expiry_timestamp_seconds";
const HTTP: u16 = 8080;

const ROTATIONS: usize = 50;
const AUTHORITIES: usize = 4;
const WITHIN: Duration = Duration::from_secs(110);
/// More than an API server keeps connections to one webhook (25 of client-go): every burst makes handshakes.
const BURST: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Certificates that were seen: of each replica by their ends, of authorities by what they are.
#[derive(Default)]
struct Seen {
    served: BTreeMap<String, BTreeSet<u64>>,
    authorities: BTreeSet<String>,
}

impl Seen {
    fn look(&mut self, webhook: &OwnWebhook<'_>) -> Result<()> {
        for replica in webhook.replicas()? {
            let ends = Page::read(replica.address, HTTP)?.sum(EXPIRY);
            ensure!(ends > 0.0, "{} does not say when its certificate ends", replica.name);
            self.served.entry(replica.name).or_default().insert(ends as u64);
        }
        self.authorities.insert(webhook.authority()?);
        Ok(())
    }

    /// The first certificate of each is none.
    fn rotations(&self) -> usize {
        self.served.values().map(|ends| ends.len().saturating_sub(1)).sum()
    }
}

#[test]
fn fifty_rotations_under_reviews_fail_none_of_them() -> Result<()> {
    // Alone: what is tested is timing of seconds, on a machine that others would keep busy.
    let cluster = Cluster::alone()?;
    let namespace = Namespace::create(&cluster, "rotation")?;
    let webhook = OwnWebhook::start(&namespace, &FLAGS)?;
    let inline = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai" },
        "spec": { "ai": { "openai": { "authToken": { "inline": "sk-rotation" } } } },
    });
    let reviews = Reviews::start(&cluster, &Attempt::create(Kind::UPSTREAM, namespace.name(), &inline), BURST, PAUSE)?;
    let (mut seen, start) = (Seen::default(), Instant::now());
    while seen.rotations() < ROTATIONS || seen.authorities.len() < AUTHORITIES {
        let (rotations, authorities) = (seen.rotations(), seen.authorities.len());
        ensure!(start.elapsed() < WITHIN, "only {rotations} rotations and {authorities} authorities");
        seen.look(&webhook)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    let replicas: Vec<bool> = webhook.replicas()?.iter().map(|replica| replica.ready).collect();
    assert_eq!(replicas, [true, true], "a replica lost its readiness");
    let reviewed = reviews.stop()?;
    assert!(reviewed > 2000, "only {reviewed} reviews: too few to tell anything");
    let asked: Vec<f64> = webhook
        .replicas()?
        .iter()
        .filter_map(|replica| Some(Page::read(replica.address, HTTP).ok()?.sum("keyward_webhook_reviews_total")))
        .collect();
    assert!(asked.iter().sum::<f64>() >= reviewed as f64, "the webhook was not asked: {asked:?}");
    Ok(())
}

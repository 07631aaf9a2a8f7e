//! Certificates that live for seconds, under reviews all the time: none of them fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use keyward_e2e_kube::{Attempt, Cluster, Kind, Namespace, OwnWebhook, Page, Reviews};
use serde_json::json;

/// A serving certificate is renewed after three seconds. An authority is followed by the next after twelve, which signs when it has been
/// trusted for three; three later the old one ends.
const FLAGS: [&str; 3] = ["--leaf-life=4", "--ca-life=18", "--overlap=3"];
const EXPIRY: &str = "keyward_webhook_cert_expiry_timestamp_seconds";
const HTTP: u16 = 8080;

/// Of serving certificates, of both replicas together.
const ROTATIONS: usize = 50;
/// Of authorities, each with both of them trusted while it went on: about 105 seconds.
const SUCCESSIONS: usize = 8;
const WITHIN: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(500);
/// More than an API server keeps connections to one webhook (25 of client-go): every burst makes handshakes.
const BURST: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Serving certificates that were seen, of each replica, by their ends.
#[derive(Default)]
struct Served(BTreeMap<String, BTreeSet<u64>>);

impl Served {
    fn look(&mut self, webhook: &OwnWebhook<'_>) -> Result<()> {
        for replica in webhook.replicas()? {
            let ends = Page::read(replica.address, HTTP)?.sum(EXPIRY);
            ensure!(ends > 0.0, "{} does not say when its certificate ends", replica.name);
            self.0.entry(replica.name).or_default().insert(ends as u64);
        }
        Ok(())
    }

    /// The first certificate of each is none.
    fn rotations(&self) -> usize {
        self.0.values().map(|ends| ends.len().saturating_sub(1)).sum()
    }
}

/// One authority follows another.
struct Succession {
    old: String,
    /// The old one was trusted still when the new one had begun to sign.
    kept: bool,
}

/// Authorities as they follow each other.
#[derive(Default)]
struct Authorities {
    /// What was trusted, and who signed, at the last look.
    trusted: String,
    signs: String,
    under_way: Option<Succession>,
    successions: usize,
}

impl Authorities {
    /// A succession counts when all of it was seen: the new one is trusted while the old one signs, the old one is trusted while the new
    /// one signs, and then no more. Who signs is asked for after what is trusted, so that either is known of the time before the other.
    fn look(&mut self, webhook: &OwnWebhook<'_>) -> Result<()> {
        let trusted = webhook.trusted()?;
        self.under_way = match self.under_way.take() {
            Some(Succession { old, .. }) if trusted.contains(&old) => Some(Succession { old, kept: true }),
            Some(Succession { kept, .. }) => {
                self.successions += usize::from(kept);
                None
            }
            None => None,
        };
        let signs = webhook.authority()?;
        if signs != self.signs {
            let staged = self.trusted.contains(&signs);
            let old = std::mem::replace(&mut self.signs, signs);
            self.under_way = staged.then_some(Succession { old, kept: false });
        }
        self.trusted = trusted;
        Ok(())
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
    let (mut served, mut authorities, start) = (Served::default(), Authorities::default(), Instant::now());
    while served.rotations() < ROTATIONS || authorities.successions < SUCCESSIONS {
        let (rotations, successions) = (served.rotations(), authorities.successions);
        ensure!(start.elapsed() < WITHIN, "only {rotations} rotations of certificates and {successions} of authorities");
        served.look(&webhook)?;
        authorities.look(&webhook)?;
        std::thread::sleep(LOOK);
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

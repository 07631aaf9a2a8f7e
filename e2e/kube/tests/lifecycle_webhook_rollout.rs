//! The webhook is replaced, pod by pod, under reviews all the time: none of them fails.

use std::time::Duration;

use anyhow::Result;
use keyward_e2e_kube::{Attempt, Cluster, Deployed, Kind, Namespace, Reviews, Webhook};
use serde_json::json;

const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);

#[test]
fn a_rolling_restart_fails_no_review() -> Result<()> {
    let cluster = Cluster::alone()?;
    let webhook = Webhook(&cluster);
    let before = webhook.settled()?;
    let namespace = Namespace::create(&cluster, "rollout")?;
    let inline = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai" },
        "spec": { "ai": { "openai": { "authToken": { "inline": "sk-rollout" } } } },
    });
    let reviews = Reviews::start(&cluster, &Attempt::create(Kind::UPSTREAM, namespace.name(), &inline), BURST, PAUSE)?;
    webhook.restart()?;
    webhook.restarted()?;
    let at_the_end = reviews.allowed();
    // The last of the old pods serves for a while after it was told to go.
    std::thread::sleep(Duration::from_secs(8));
    let reviewed = reviews.stop()?;
    assert!(reviewed > at_the_end && reviewed > 1000, "only {reviewed} reviews: too few to tell anything");
    let now = webhook.settled()?;
    assert!(now.iter().all(|pod| !before.contains(pod)), "nothing was restarted");
    Ok(())
}

//! The operator lacks a right: it names what it may not do, and works again when it may.

use anyhow::{Context, Result, ensure};
use keyward_e2e_kube::{Cluster, Deployed, Kind, Operator, POD, SOON, wait_until};
use serde_json::Value;

const ROLE: &str = "keyward-operator";

/// The ClusterRole without one verb, until this is dropped.
struct Without<'c> {
    cluster: &'c Cluster,
    rules: Value,
}

impl<'c> Without<'c> {
    fn new(cluster: &'c Cluster, resource: &str, verb: &str) -> Result<Self> {
        let role = cluster.get(Kind::CLUSTER_ROLE, "", ROLE)?;
        let this = Self { cluster, rules: role["rules"].clone() };
        let mut rules = role["rules"].clone();
        let rule = rules.as_array_mut().into_iter().flatten().find(|rule| names(&rule["resources"], resource)).context("no such rule")?;
        rule["verbs"].as_array_mut().context("a rule without verbs")?.retain(|one| one != verb);
        this.write(rules)?;
        Ok(this)
    }

    fn write(&self, rules: Value) -> Result<()> {
        self.cluster.patch(Kind::CLUSTER_ROLE, "", ROLE, &serde_json::json!({ "rules": rules }))
    }
}

impl Drop for Without<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.write(self.rules.clone()) {
            eprintln!("ClusterRole {ROLE} stays as it is: {error:#}");
        }
    }
}

fn names(list: &Value, name: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|one| one == name))
}

#[test]
fn names_the_verb_that_it_lacks_and_works_once_it_has_it() -> Result<()> {
    let cluster = Cluster::alone()?;
    let operator = Operator(&cluster);
    operator.settled()?;
    let without = Without::new(&cluster, "upstreams", "list")?;
    operator.restart()?;
    wait_until("the log names what is missing", POD, || {
        let log = operator.logs()?;
        let said = |line: &str| {
            line.contains("watching Upstream is forbidden") && line.contains("cannot list resource") && line.contains("upstreams")
        };
        ensure!(log.lines().any(said), "nothing is said");
        Ok(())
    })?;
    let ready = operator.replicas()?.iter().filter(|pod| pod.ready).count();
    assert!(ready >= 2, "the old replicas serve until new ones can: {ready} are ready");
    drop(without);
    operator.restarted()?;
    wait_until("somebody leads", SOON, || operator.leader().map(drop))
}

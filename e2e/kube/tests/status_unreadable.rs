//! An object that the API server has and the operator's types cannot read, as after a CRD of another version was installed. The watch
//! goes on, and somebody is told.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Request, send};
use keyward_e2e_kube::manifests::{gateway, route, upstream};
use keyward_e2e_kube::{Cluster, Kind, Namespace, Provider, SOON, wait_until};
use serde_json::{Value, json};

const CRD: &str = "upstreams.gloo.solo.io";
const MODEL: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ai/properties/openai/properties/model";

/// The CRD with a looser schema, until this is dropped.
struct Loosened<'c> {
    cluster: &'c Cluster,
    model: Value,
}

impl<'c> Loosened<'c> {
    fn new(cluster: &'c Cluster) -> Result<Self> {
        let crd = cluster.get(Kind::CRD, "", CRD)?;
        let model = crd.pointer(MODEL).context("the CRD has no model")?.clone();
        let this = Self { cluster, model };
        this.replace(&json!({ "x-kubernetes-int-or-string": true }))?;
        Ok(this)
    }

    fn replace(&self, model: &Value) -> Result<()> {
        let patch = json!([{ "op": "replace", "path": MODEL, "value": model }]).to_string();
        self.cluster.kubectl(&["patch", "crd", CRD, "--type=json", "-p", &patch], None).map(drop)
    }
}

impl Drop for Loosened<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.replace(&self.model) {
            eprintln!("the CRD {CRD} stays loosened: {error:#}");
        }
    }
}

#[test]
fn an_object_that_cannot_be_read_is_told_of_and_stops_no_other() -> Result<()> {
    let cluster = Cluster::alone()?;
    let namespace = Namespace::create(&cluster, "unreadable")?;
    let provider = Provider::start(&namespace, &["sk-readable"])?;
    let host = provider.custom_host();
    namespace.apply(&gateway("gw"))?;
    let loosened = Loosened::new(&cluster)?;
    let odd = upstream("odd", "{inline: sk-unreadable-canary}", "model: 5");
    wait_until("the API server takes the odd object", SOON, || {
        cluster.kubectl(&["apply", "--validate=false", "-n", namespace.name(), "-f-"], Some(&odd)).map(drop)
    })?;
    let address = namespace.address("gw")?;
    wait_until("an Event tells of it", SOON, || {
        let events = namespace.events_about("odd")?;
        let told = events.iter().any(|(reason, message)| reason == "Unreadable" && message.contains("spec"));
        ensure!(told && !format!("{events:?}").contains("canary"), "{events:?}");
        Ok(())
    })?;
    namespace
        .apply(&[upstream("good", "{inline: sk-readable}", &host), route("good", "gw", "good"), route("odd", "gw", "odd")].concat())?;
    wait_until("an object that comes later is served, and the odd one is not", Duration::from_secs(30), || {
        let good = send(address, &Request::chat("/good"))?;
        let odd = send(address, &Request::chat("/odd"))?;
        ensure!(good.status == 200 && matches!(odd.status, 500 | 503), "{} {}", good.status, odd.status);
        Ok(())
    })?;
    namespace.delete(Kind::UPSTREAM, "odd")?;
    cluster.gone(Kind::UPSTREAM, namespace.name(), "odd", SOON)?;
    drop(loosened);
    Ok(())
}

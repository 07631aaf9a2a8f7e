//! Certificates that another keeps, in files of a Secret: what the component for cert-manager says, and a certificate that is replaced under
//! reviews.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Authority, Leaf};
use keyward_e2e_kube::{Attempt, Cluster, Different, Kind, Namespace, OwnWebhook, POD, Page, Reviews, RunningPod, wait_until};
use serde_json::{Value, json};

const NAME: &str = "keyward-webhook";
const DIRECTORY: &str = "/var/run/secrets/keyward-webhook";
const HTTPS: u16 = 8443;
const HTTP: u16 = 8080;

/// More than an API server keeps connections to one webhook (25 of client-go): every burst makes handshakes.
const BURST: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// Kubelets are reminded this often.
const REMINDER: Duration = Duration::from_secs(2);
/// Reviews under the new certificate.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// What kustomize has built.
struct Built(Vec<Value>);

impl Built {
    fn with(cluster: &Cluster, component: &str) -> Result<Self> {
        let text = cluster.kustomize(component)?;
        let objects = text.split("\n---\n").map(serde_saphyr::from_str::<Value>).collect::<Result<Vec<Value>, _>>()?;
        Ok(Self(objects))
    }

    fn find(&self, kind: &str) -> Option<&Value> {
        self.0.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == NAME)
    }

    fn get(&self, kind: &str) -> Result<&Value> {
        self.find(kind).with_context(|| format!("there is no {kind} {NAME}"))
    }
}

#[test]
fn the_component_for_cert_manager_leaves_certificates_to_it() -> Result<()> {
    let cluster = Cluster::shared()?;
    let built = Built::with(&cluster, "cert-manager")?;
    let certificate = &built.get("Certificate")?["spec"];
    let pod = &built.get("Deployment")?["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!([format!("--tls-dir={DIRECTORY}")]));
    assert_eq!(container["volumeMounts"], json!([{ "name": "tls", "mountPath": DIRECTORY, "readOnly": true }]));
    assert_eq!(pod["volumes"], json!([{ "name": "tls", "secret": { "secretName": certificate["secretName"] } }]));

    let configuration = built.get("ValidatingWebhookConfiguration")?;
    assert_eq!(configuration["metadata"]["annotations"], json!({ "cert-manager.io/inject-ca-from": "keyward-system/keyward-webhook" }));
    let webhooks = configuration["webhooks"].as_array().context("no webhooks")?;
    for client in webhooks.iter().map(|webhook| &webhook["clientConfig"]) {
        let text = |field: &str| client["service"][field].as_str().unwrap_or_default();
        assert_eq!(certificate["dnsNames"], json!([format!("{}.{}.svc", text("name"), text("namespace"))]));
        assert_eq!(client.get("caBundle"), None, "it is the injector's");
    }

    // What it does not write, it may not write.
    assert!(built.find("Role").is_none() && built.find("RoleBinding").is_none(), "it has rights to Secrets");
    let rules = built.get("ClusterRole")?["rules"].as_array().context("no rules")?;
    assert!(rules.iter().all(|rule| rule["verbs"] == json!(["get", "list", "watch"])), "{rules:?}");
    Ok(())
}

/// Every replica serves this certificate.
fn serve(replicas: &[RunningPod], authority: &Authority, host: &str, leaf: &Leaf) -> Result<()> {
    for replica in replicas {
        let served = authority.handshake(SocketAddr::new(replica.address, HTTPS), host)?;
        ensure!(served == leaf.der, "{} serves another certificate", replica.name);
    }
    Ok(())
}

#[test]
fn a_replaced_certificate_is_served_without_a_restart_and_no_review_fails() -> Result<()> {
    // Alone: reviews must not fail because others keep the machine busy.
    let cluster = Cluster::alone()?;
    let namespace = Namespace::create(&cluster, "files")?;
    let (authority, host) = (Authority::generate()?, OwnWebhook::host(&namespace));
    let (before, after) = (authority.leaf(&host)?, authority.leaf(&host)?);
    let webhook = OwnWebhook::begin(&namespace, &Different { files: Some(&before), ..Different::default() })?;
    webhook.trust(&std::fs::read_to_string(authority.ca_file())?)?;
    webhook.ready()?;
    let replicas = webhook.replicas()?;
    serve(&replicas, &authority, &host, &before)?;

    let inline = json!({
        "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "metadata": { "name": "openai" },
        "spec": { "ai": { "openai": { "authToken": { "inline": "sk-files" } } } },
    });
    let reviews = Reviews::start(&cluster, &Attempt::create(Kind::UPSTREAM, namespace.name(), &inline), BURST, PAUSE)?;
    webhook.put_files(&after)?;
    wait_until("both replicas serve the new certificate", 2 * POD, || {
        webhook.remind_kubelets()?;
        std::thread::sleep(REMINDER);
        serve(&replicas, &authority, &host, &after)
    })?;
    std::thread::sleep(AFTERWARDS);
    let reviewed = reviews.stop()?;
    assert!(reviewed > 100, "only {reviewed} reviews: too few to tell anything");
    for replica in &replicas {
        let asked = Page::read(replica.address, HTTP)?.sum("keyward_webhook_reviews_total");
        assert!(asked > 0.0, "{} was not asked", replica.name);
    }
    assert_eq!(webhook.replicas()?, replicas, "a replica was restarted, or lost its readiness");
    Ok(())
}

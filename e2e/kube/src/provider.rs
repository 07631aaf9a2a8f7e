//! The mock provider as a pod, with a certificate for api.openai.com, and parameters with which proxies trust it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use keyward_e2e::{Authority, Request, send};
use mock_llm::Entry;
use serde_json::{Value, json};

use crate::manifests::{PARAMETERS, parameters};
use crate::{Namespace, POD, wait_until};

/// Whom it plays.
const HOST: &str = "api.openai.com";
const IMAGE: &str = concat!("ghcr.io/keyward/mock-llm:", env!("CARGO_PKG_VERSION"));
const ADMIN: u16 = 8090;

/// A running provider; it goes with its namespace.
pub struct Provider {
    address: IpAddr,
    host: String,
}

impl Provider {
    /// Starts one that accepts these keys, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(namespace: &Namespace<'_>, keys: &[&str]) -> Result<Self> {
        let authority = Authority::generate()?;
        let leaf = authority.leaf(HOST)?;
        let ca = std::fs::read_to_string(authority.ca_file())?;
        let objects = [
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "provider-ca" }, "data": { "ca.crt": ca } }),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "provider-tls" }, "type": "kubernetes.io/tls",
                "stringData": { "tls.crt": leaf.certificate, "tls.key": leaf.key },
            }),
            deployment(keys),
            service(),
        ];
        // A JSON text is a YAML text; but kubectl takes what begins with a brace for JSON alone.
        let objects: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        namespace.apply(&(objects + "---\n" + &parameters(PARAMETERS, "{trustedCAs: [{name: provider-ca}]}")))?;
        let address = namespace.cluster().service_address(namespace.name(), "provider", ADMIN)?.ip();
        let provider = Self { address, host: format!("provider.{}.svc.cluster.local", namespace.name()) };
        wait_until("the provider answers", POD, || provider.journal())?;
        Ok(provider)
    }

    /// Its address inside the cluster; it listens on port 443 there.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The field of an Upstream that leads here, where the cluster's DNS does not.
    #[must_use]
    pub fn custom_host(&self) -> String {
        format!("customHost: {{host: {}, port: 443, hostname: {HOST}}}", self.host)
    }

    /// Requests received since it was told to forget.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn journal(&self) -> Result<Vec<Entry>> {
        let answer = send(self.admin(), &Request::get("/journal"))?;
        ensure!(answer.status == 200 && answer.complete, "the journal: {}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Forgets what it received.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn forget(&self) -> Result<()> {
        let answer = send(self.admin(), &Request::new("DELETE", "/journal"))?;
        ensure!(answer.status == 204, "the journal: {}", answer.status);
        Ok(())
    }

    /// The one request received.
    ///
    /// # Errors
    /// When there was none, or more than one.
    pub fn only_request(&self) -> Result<Entry> {
        let mut journal = self.journal()?;
        ensure!(journal.len() == 1, "expected one request at the provider, got {}", journal.len());
        journal.pop().context("the journal is empty")
    }

    fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.address, ADMIN)
    }
}

fn deployment(keys: &[&str]) -> Value {
    let fixed = ["--listen=0.0.0.0:8443", "--admin=0.0.0.0:8090", "--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key"];
    let arguments: Vec<String> = fixed.iter().map(|one| (*one).to_owned()).chain(keys.iter().map(|key| format!("--key={key}"))).collect();
    let container = json!({
        "name": "mock-llm",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "readinessProbe": { "tcpSocket": { "port": 8443 }, "periodSeconds": 1 },
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
        "volumeMounts": [{ "name": "tls", "mountPath": "/tls", "readOnly": true }],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "provider" },
        "spec": {
            "selector": { "matchLabels": { "app": "provider" } },
            "template": {
                "metadata": { "labels": { "app": "provider" } },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container],
                    "volumes": [{ "name": "tls", "secret": { "secretName": "provider-tls" } }],
                },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "provider" },
        "spec": {
            "selector": { "app": "provider" },
            "ports": [{ "name": "https", "port": 443, "targetPort": 8443 }, { "name": "journal", "port": ADMIN, "targetPort": ADMIN }],
        },
    })
}

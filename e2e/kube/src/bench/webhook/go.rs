//! The webhook on controller-runtime (`e2e/bench-webhook-go`), as its authors would run it: two replicas, a certificate from a Secret, the
//! share of CPU that ours asks for.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyward_e2e::Authority;
use serde_json::{Value, json};

use super::subject::{LABEL, Subject};
use crate::cluster::RunningPod;
use crate::{Cluster, Kind, Namespace, POD, wait_until};

const NAME: &str = "bench-webhook-go";
const IMAGE: &str = concat!("ghcr.io/keyward/bench-webhook-go:", env!("CARGO_PKG_VERSION"));
const LABELS: &str = "app=bench-webhook-go";
const PORT: u16 = 8443;
const PROBES: u16 = 8081;

/// It runs until it is dropped.
pub(super) struct GoWebhook<'c> {
    namespace: Namespace<'c>,
}

impl<'c> GoWebhook<'c> {
    pub(super) fn start(cluster: &'c Cluster) -> Result<Self> {
        let this = Self { namespace: Namespace::create(cluster, NAME)? };
        let authority = Authority::generate()?;
        let leaf = authority.leaf(&format!("{NAME}.{}.svc", this.namespace.name()))?;
        this.permit()?;
        let tls = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "tls" }, "type": "kubernetes.io/tls",
            "stringData": { "tls.crt": leaf.certificate, "tls.key": leaf.key },
        });
        this.put(Kind::SECRET, "tls", &tls)?;
        this.put(Kind::SERVICE, NAME, &service())?;
        this.put(Kind::DEPLOYMENT, NAME, &deployment())?;
        wait_until("two replicas of the webhook on controller-runtime are ready", POD, || {
            let replicas = this.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(())
        })?;
        let bundle = STANDARD.encode(std::fs::read(authority.ca_file())?);
        cluster.put(Kind::VALIDATING_WEBHOOKS, "", NAME, &configuration(this.namespace.name(), &bundle))?;
        Ok(this)
    }

    pub(super) fn replicas(&self) -> Result<Vec<RunningPod>> {
        self.namespace.cluster().running_pods(self.namespace.name(), LABELS)
    }

    fn put(&self, kind: Kind, name: &str, object: &Value) -> Result<()> {
        self.namespace.cluster().put(kind, self.namespace.name(), name, object).with_context(|| name.to_owned())
    }

    /// It follows namespaces, for their labels.
    fn permit(&self) -> Result<()> {
        let version = "rbac.authorization.k8s.io/v1";
        let rules = json!([{ "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"] }]);
        let role = json!({ "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": NAME }, "rules": rules });
        self.namespace.cluster().put(Kind::CLUSTER_ROLE, "", NAME, &role)?;
        let binding = json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": { "name": NAME },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": self.namespace.name() }],
        });
        self.namespace.cluster().put(Kind::CLUSTER_ROLE_BINDING, "", NAME, &binding)?;
        self.put(Kind::SERVICE_ACCOUNT, NAME, &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": NAME } }))
    }
}

impl Drop for GoWebhook<'_> {
    fn drop(&mut self) {
        for kind in [Kind::VALIDATING_WEBHOOKS, Kind::CLUSTER_ROLE_BINDING, Kind::CLUSTER_ROLE] {
            if let Err(error) = self.namespace.cluster().delete(kind, "", NAME) {
                eprintln!("{} {NAME} stays behind: {error:#}", kind.name());
            }
        }
    }
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": NAME },
        "spec": { "selector": { "app": NAME }, "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": PORT }] },
    })
}

fn deployment() -> Value {
    let container = json!({
        "name": "webhook",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-tls=/tls", format!("-port={PORT}"), format!("-probes=:{PROBES}")],
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": PROBES }, "periodSeconds": 1 },
        "resources": { "requests": { "cpu": "100m" } },
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
        "volumeMounts": [{ "name": "tls", "mountPath": "/tls", "readOnly": true }],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": NAME } },
            "template": {
                "metadata": { "labels": { "app": NAME } },
                "spec": {
                    "serviceAccountName": NAME,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [container],
                    "volumes": [{ "name": "tls", "secret": { "secretName": "tls" } }],
                },
            },
        },
    })
}

fn configuration(namespace: &str, bundle: &str) -> Value {
    let service = json!({ "name": NAME, "namespace": namespace, "path": "/validate", "port": 443 });
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": { "name": NAME },
        "webhooks": [{
            "name": "go.bench.keyward.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": { "service": service, "caBundle": bundle },
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "namespaceSelector": { "matchLabels": { LABEL: Subject::Go.word() } },
            "rules": [{
                "apiGroups": ["gloo.solo.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["upstreams"],
            }],
        }],
    })
}

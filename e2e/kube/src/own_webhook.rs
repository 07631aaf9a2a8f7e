//! A webhook of a test's own: the installed one's manifests, in the test's namespace and for it alone, with other flags. Nobody else notices.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::RunningPod;
use crate::webhook::{LABELS, NAME};
use crate::{Cluster, Kind, Namespace, POD, SYSTEM, wait_until};

/// Whatever of it is in the namespace.
const OWN: &str = "own-webhook";
/// The Secret with its authority.
const CA: &str = "own-webhook-ca";

/// A webhook for one namespace, which it also runs in.
pub struct OwnWebhook<'c> {
    cluster: &'c Cluster,
    namespace: String,
}

impl<'c> OwnWebhook<'c> {
    /// Starts one with these flags, and waits until both replicas are ready.
    ///
    /// # Errors
    /// When they do not become ready.
    pub fn start(namespace: &Namespace<'c>, flags: &[&str]) -> Result<Self> {
        let this = Self { cluster: namespace.cluster(), namespace: namespace.name().to_owned() };
        this.permit()?;
        this.put(Kind::SERVICE, OWN, &this.service())?;
        this.put(Kind::DEPLOYMENT, OWN, &this.deployment(flags)?)?;
        let configuration = this.configuration()?;
        this.cluster.put(Kind::VALIDATING_WEBHOOKS, "", &this.name(), &configuration)?;
        wait_until("two replicas of the own webhook are ready", POD, || {
            let replicas = this.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(())
        })?;
        Ok(this)
    }

    /// Its replicas that run.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn replicas(&self) -> Result<Vec<RunningPod>> {
        self.cluster.running_pods(&self.namespace, LABELS)
    }

    /// The certificate of the authority that signs now, PEM, as the Secret has it.
    ///
    /// # Errors
    /// When there is none.
    pub fn authority(&self) -> Result<String> {
        decode(&self.cluster.get(Kind::SECRET, &self.namespace, CA)?, "/data/tls.crt")
    }

    /// The certificates of authorities that API servers trust now, PEM.
    ///
    /// # Errors
    /// When there are none.
    pub fn trusted(&self) -> Result<String> {
        let configuration = self.cluster.get(Kind::VALIDATING_WEBHOOKS, "", &self.name())?;
        decode(&configuration, "/webhooks/0/clientConfig/caBundle")
    }

    /// Of what is in no namespace.
    fn name(&self) -> String {
        format!("e2e-{}", self.namespace)
    }

    fn put(&self, kind: Kind, name: &str, object: &Value) -> Result<()> {
        self.cluster.put(kind, &self.namespace, name, object).with_context(|| format!("{} {name}", kind.name()))
    }

    /// What the installed one may do, here.
    fn permit(&self) -> Result<()> {
        let (namespace, name) = (self.namespace.as_str(), self.name());
        let of = "rbac.authorization.k8s.io";
        let version = format!("{of}/v1");
        let subjects = json!([{ "kind": "ServiceAccount", "name": OWN, "namespace": namespace }]);
        let mut cluster_rules = self.cluster.get(Kind::CLUSTER_ROLE, "", NAME)?["rules"].clone();
        rename(&mut cluster_rules, NAME, &name);
        let mut rules = self.cluster.get(Kind::ROLE, SYSTEM, NAME)?["rules"].clone();
        rename(&mut rules, "keyward-webhook-ca", CA);
        let role = json!({ "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": name }, "rules": cluster_rules });
        self.cluster.put(Kind::CLUSTER_ROLE, "", &name, &role)?;
        let role = json!({ "apiGroup": of, "kind": "ClusterRole", "name": name });
        let binding = json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": { "name": name }, "roleRef": role, "subjects": subjects,
        });
        self.cluster.put(Kind::CLUSTER_ROLE_BINDING, "", &name, &binding)?;
        self.put(Kind::SERVICE_ACCOUNT, OWN, &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": OWN } }))?;
        let role = json!({ "apiVersion": version, "kind": "Role", "metadata": { "name": OWN }, "rules": rules });
        self.put(Kind::ROLE, OWN, &role)?;
        let role = json!({ "apiGroup": of, "kind": "Role", "name": OWN });
        let binding =
            json!({ "apiVersion": version, "kind": "RoleBinding", "metadata": { "name": OWN }, "roleRef": role, "subjects": subjects });
        self.put(Kind::ROLE_BINDING, OWN, &binding)
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": OWN },
            "spec": {
                "selector": { "app.kubernetes.io/name": NAME },
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": "https" }],
            },
        })
    }

    fn deployment(&self, flags: &[&str]) -> Result<Value> {
        let mut spec = self.cluster.get(Kind::DEPLOYMENT, SYSTEM, NAME)?["spec"].clone();
        let own = [format!("--service={OWN}"), format!("--configuration={}", self.name()), format!("--ca-secret={CA}")];
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).chain(own).collect();
        let pod = spec.pointer_mut("/template/spec").context("a Deployment without pods")?;
        pod["serviceAccountName"] = json!(OWN);
        pod["serviceAccount"] = json!(OWN);
        pod["containers"][0]["args"] = json!(flags);
        Ok(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": OWN }, "spec": spec }))
    }

    /// The caBundle is for the webhook to set.
    fn configuration(&self) -> Result<Value> {
        let mut webhooks = self.cluster.get(Kind::VALIDATING_WEBHOOKS, "", NAME)?["webhooks"].clone();
        for webhook in webhooks.as_array_mut().into_iter().flatten() {
            let service = json!({ "name": OWN, "namespace": self.namespace, "path": "/validate", "port": 443 });
            webhook["clientConfig"] = json!({ "service": service });
            webhook["namespaceSelector"] = json!({ "matchLabels": { "kubernetes.io/metadata.name": self.namespace } });
        }
        Ok(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": self.name() }, "webhooks": webhooks,
        }))
    }
}

impl Drop for OwnWebhook<'_> {
    /// What is in the namespace goes with it.
    fn drop(&mut self) {
        for kind in [Kind::VALIDATING_WEBHOOKS, Kind::CLUSTER_ROLE_BINDING, Kind::CLUSTER_ROLE] {
            if let Err(error) = self.cluster.delete(kind, "", &self.name()) {
                eprintln!("{} {} stays behind: {error:#}", kind.name(), self.name());
            }
        }
    }
}

/// Text that an object has in base64.
fn decode(object: &Value, pointer: &str) -> Result<String> {
    let encoded = object.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer}"))?;
    Ok(String::from_utf8(STANDARD.decode(encoded)?)?)
}

/// In the resourceNames of rules.
fn rename(rules: &mut Value, from: &str, to: &str) {
    let names = rules.as_array_mut().into_iter().flatten().filter_map(|rule| rule.get_mut("resourceNames")?.as_array_mut());
    for name in names.flatten().filter(|name| name.as_str() == Some(from)) {
        *name = json!(to);
    }
}

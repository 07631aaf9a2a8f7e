//! A webhook of a test's own: the installed one's manifests, in the test's namespace and for it alone, with other flags. Nobody else notices.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyward_e2e::{Leaf, Request, send};
use serde_json::{Value, json};

use crate::cluster::RunningPod;
use crate::deployed::HTTP;
use crate::webhook::{LABELS, NAME};
use crate::{Cluster, Kind, Namespace, POD, SYSTEM, wait_until};

/// Whatever of it is in the namespace.
const OWN: &str = "own-webhook";
/// The Secret with its authority.
const CA: &str = "own-webhook-ca";
/// The Secret with its certificate, where it is given one.
const TLS: &str = "own-webhook-tls";
const TLS_DIR: &str = "/var/run/secrets/keyward-webhook";

/// A webhook for one namespace, which it also runs in.
pub struct OwnWebhook<'c> {
    cluster: &'c Cluster,
    namespace: String,
}

/// What is different about it.
#[derive(Clone, Copy, Default)]
pub struct Different<'d> {
    /// Flags of the program.
    pub flags: &'d [&'d str],
    /// A certificate in files, in place of one of its own. The caBundle is then the test's to set.
    pub files: Option<&'d Leaf>,
    /// A resource that it has no right to.
    pub without: Option<&'d str>,
}

impl<'c> OwnWebhook<'c> {
    /// Starts one with these flags, and waits until both replicas are ready.
    ///
    /// # Errors
    /// When they do not become ready.
    pub fn start(namespace: &Namespace<'c>, flags: &[&str]) -> Result<Self> {
        let this = Self::begin(namespace, &Different { flags, ..Different::default() })?;
        this.ready()?;
        Ok(this)
    }

    /// Starts one, and does not wait.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn begin(namespace: &Namespace<'c>, different: &Different<'_>) -> Result<Self> {
        let this = Self { cluster: namespace.cluster(), namespace: namespace.name().to_owned() };
        this.permit(different.without)?;
        if let Some(leaf) = different.files {
            this.put_files(leaf)?;
        }
        this.put(Kind::SERVICE, OWN, &this.service())?;
        this.put(Kind::DEPLOYMENT, OWN, &this.deployment(different)?)?;
        this.configure(None)?;
        Ok(this)
    }

    /// The name that API servers verify.
    #[must_use]
    pub fn host(namespace: &Namespace<'_>) -> String {
        format!("{OWN}.{}.svc", namespace.name())
    }

    /// Waits until both replicas are ready.
    ///
    /// # Errors
    /// When they do not become ready.
    pub fn ready(&self) -> Result<()> {
        wait_until("two replicas of the own webhook are ready", POD, || {
            let replicas = self.replicas()?;
            ensure!(replicas.len() == 2 && replicas.iter().all(|pod| pod.ready), "{replicas:?}");
            Ok(())
        })
    }

    /// What each replica says of its readiness: a status and a text.
    ///
    /// # Errors
    /// When one does not answer.
    pub fn readiness(&self) -> Result<Vec<(u16, String)>> {
        let ask = |replica: &RunningPod| {
            let answer = send(SocketAddr::new(replica.address, HTTP), &Request::get("/readyz"))?;
            anyhow::Ok((answer.status, answer.text()))
        };
        self.replicas()?.iter().map(ask).collect()
    }

    /// Gives it another certificate. Kubelets bring it into the pods in their own time, or when they are reminded.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn put_files(&self, leaf: &Leaf) -> Result<()> {
        let data = json!({ "tls.crt": STANDARD.encode(&leaf.certificate), "tls.key": STANDARD.encode(&leaf.key) });
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": TLS }, "type": "kubernetes.io/tls", "data": data });
        self.put(Kind::SECRET, TLS, &secret)
    }

    /// Reminds kubelets of the volumes of its pods, which they look at every minute otherwise: a changed annotation does it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn remind_kubelets(&self) -> Result<()> {
        let annotations = json!({ "e2e.keyward.dev/reminder": format!("{:08x}", fastrand::u32(..)) });
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.replicas()?.iter().try_for_each(|pod| self.cluster.patch(Kind::POD, &self.namespace, &pod.name, &patch))
    }

    /// Lets API servers trust these certificates of authorities, PEM.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn trust(&self, authorities: &str) -> Result<()> {
        self.configure(Some(authorities))
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

    /// Lets it do what the installed one may, here; nothing with the resource that is named.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn permit(&self, without: Option<&str>) -> Result<()> {
        let (namespace, name) = (self.namespace.as_str(), self.name());
        let of = "rbac.authorization.k8s.io";
        let version = format!("{of}/v1");
        let subjects = json!([{ "kind": "ServiceAccount", "name": OWN, "namespace": namespace }]);
        let mut cluster_rules = self.cluster.get(Kind::CLUSTER_ROLE, "", NAME)?["rules"].clone();
        rename(&mut cluster_rules, NAME, &name);
        if let (Some(rules), Some(resource)) = (cluster_rules.as_array_mut(), without) {
            let is_about = |rule: &Value| rule["resources"].as_array().is_some_and(|all| all.iter().any(|one| one == resource));
            rules.retain(|rule| !is_about(rule));
        }
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

    fn deployment(&self, different: &Different<'_>) -> Result<Value> {
        let mut spec = self.cluster.get(Kind::DEPLOYMENT, SYSTEM, NAME)?["spec"].clone();
        let own = [format!("--service={OWN}"), format!("--configuration={}", self.name()), format!("--ca-secret={CA}")];
        let tls = different.files.map(|_| format!("--tls-dir={TLS_DIR}"));
        let flags: Vec<String> = different.flags.iter().map(|flag| (*flag).to_owned()).chain(own).chain(tls).collect();
        let pod = spec.pointer_mut("/template/spec").context("a Deployment without pods")?;
        pod["serviceAccountName"] = json!(OWN);
        pod["serviceAccount"] = json!(OWN);
        pod["containers"][0]["args"] = json!(flags);
        if different.files.is_some() {
            pod["containers"][0]["volumeMounts"] = json!([{ "name": "tls", "mountPath": TLS_DIR, "readOnly": true }]);
            pod["volumes"] = json!([{ "name": "tls", "secret": { "secretName": TLS } }]);
        }
        Ok(json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": OWN }, "spec": spec }))
    }

    /// Without a caBundle, that is for the webhook to set.
    fn configure(&self, bundle: Option<&str>) -> Result<()> {
        let mut webhooks = self.cluster.get(Kind::VALIDATING_WEBHOOKS, "", NAME)?["webhooks"].clone();
        for webhook in webhooks.as_array_mut().into_iter().flatten() {
            let service = json!({ "name": OWN, "namespace": self.namespace, "path": "/validate", "port": 443 });
            webhook["clientConfig"] = json!({ "service": service });
            if let Some(bundle) = bundle {
                webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
            }
            webhook["namespaceSelector"] = json!({ "matchLabels": { "kubernetes.io/metadata.name": self.namespace } });
        }
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": self.name() }, "webhooks": webhooks,
        });
        self.cluster.put(Kind::VALIDATING_WEBHOOKS, "", &self.name(), &configuration)
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

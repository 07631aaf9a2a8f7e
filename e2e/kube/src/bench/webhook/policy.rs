//! The ValidatingAdmissionPolicy of `config/components/admission-policy`, bound to the namespaces of its turn.

use anyhow::Result;
use serde_json::json;

use super::subject::{LABEL, Subject};
use crate::Cluster;
use crate::part::root;

const POLICY: &str = "keyward-upstream-credentials";
const BINDING: &str = "keyward-bench";

/// Bound until it is dropped.
pub(super) struct Policy<'c>(&'c Cluster);

impl<'c> Policy<'c> {
    pub(super) fn bind(cluster: &'c Cluster) -> Result<Self> {
        let file = root().join("config/components/admission-policy/policy.yaml");
        let this = Self(cluster);
        cluster.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()], None)?;
        let selector = json!({ "matchLabels": { LABEL: Subject::Policy.word() } });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": BINDING },
            "spec": { "policyName": POLICY, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": selector } },
        });
        cluster.kubectl(&["apply", "--server-side", "-f-"], Some(&binding.to_string()))?;
        Ok(this)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let objects = [
            format!("validatingadmissionpolicybinding/{BINDING}"),
            format!("validatingadmissionpolicy/{POLICY}"),
            "validatingadmissionpolicy/keyward-route-credentials".to_owned(),
        ];
        for object in objects {
            if let Err(error) = self.0.kubectl(&["delete", "--ignore-not-found", &object], None) {
                eprintln!("{object} stays behind: {error:#}");
            }
        }
    }
}

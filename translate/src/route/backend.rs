//! From a reference to a backend's name. What does not resolve is refused in its share ("requests to this backend MUST … receive a
//! 500", BackendRef), and said in `ResolvedRefs`.

use policy::Reason;

use super::{Compiler, service};
use crate::finding::Finding;
use crate::grant::{self, GATEWAY_GROUP, GLOO_GROUP, Referent, Referrer};
use crate::model::BackendRef;
use crate::supply::Source;
use crate::{Kind, ObjectKey};

/// Why a reference does not resolve.
#[derive(Debug)]
pub(super) struct Miss {
    /// Of the condition `ResolvedRefs`.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Compiler<'_, '_> {
    /// The name of the backend, which is then among the sources; or the reason with which its share is refused.
    pub(super) fn resolve(&mut self, reference: &BackendRef, field: &str) -> Result<String, Reason> {
        let found = match (reference.group.as_str(), reference.kind.as_str()) {
            ("", "Service") => self.service(reference),
            (GLOO_GROUP, "Upstream") if self.kind.has_requests() => return self.upstream(reference, field),
            (group, kind) => Err(self.no_backend(group, kind)),
        };
        found.map_err(|miss| self.missed(field, miss))
    }

    /// A provider's credential goes into requests, so that routes which know none cannot lead to an Upstream.
    fn no_backend(&self, group: &str, kind: &str) -> Miss {
        let upstream = if self.kind.has_requests() { " or to a gloo.solo.io Upstream" } else { "" };
        let message = format!("a backend cannot be of kind {kind} in group {group:?}: refer to a Service{upstream}");
        Miss { reason: "InvalidKind", message }
    }

    fn missed(&mut self, field: &str, miss: Miss) -> Reason {
        self.findings.push(Finding::refs(field, miss.reason, miss.message));
        Reason::InvalidBackendRef
    }

    /// The key of what is referred to, if the reference is permitted. This comes before existence: a refusal must not tell what exists.
    fn permitted(&self, reference: &BackendRef) -> Result<ObjectKey, Miss> {
        let key = ObjectKey::new(reference.namespace.as_deref().unwrap_or(self.namespace), &reference.name);
        let from = Referrer { group: GATEWAY_GROUP, kind: self.kind.as_str(), namespace: self.namespace };
        let to = Referent { group: &reference.group, kind: &reference.kind, key: &key };
        match self.index.permits(from, to) {
            true => Ok(key),
            false => Err(Miss { reason: "RefNotPermitted", message: grant::refusal(from, to) }),
        }
    }

    fn service(&mut self, reference: &BackendRef) -> Result<String, Miss> {
        let key = self.permitted(reference)?;
        let found = service::find(self.index, &key, reference.port, self.kind)?;
        let transport = self.kind.transport();
        self.sources.insert(found.name.clone(), Source::Service { key, port: found.port, transport, protocol: found.protocol });
        Ok(found.name)
    }

    /// An Upstream that is not accepted refuses with its own reason. One whose credential is missing is a backend all the same: the
    /// proxy refuses its requests in the provider's error shape. Both are said in the route's `ResolvedRefs`, since a user looks at
    /// the route first.
    fn upstream(&mut self, reference: &BackendRef, field: &str) -> Result<String, Reason> {
        let key = self.permitted(reference).map_err(|miss| self.missed(field, miss))?;
        self.index.note(Kind::Upstream, &key);
        let Some(upstream) = self.upstreams.get(&key) else {
            let message = format!("Upstream {key} does not exist: create it, or correct the reference");
            return Err(self.missed(field, Miss { reason: "BackendNotFound", message }));
        };
        if let Some((reason, message)) = upstream.trouble() {
            self.findings.push(Finding::refs(field, reason, format!("Upstream {key}: {message}")));
        }
        upstream.backend.as_ref().map_err(|refused| *refused)?;
        let name = format!("Upstream/{key}");
        self.sources.insert(name.clone(), Source::Upstream(key));
        Ok(name)
    }
}

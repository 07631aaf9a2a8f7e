//! `spec.tls.frontend`: what clients of HTTPS listeners must prove, for a port or for all others. What should be verified and cannot be
//! is not served at all.

use std::sync::Arc;

use gateway_api::experimental::gateways as api;
use policy::config::{ClientAuth, ClientAuthMode};

use super::{listener, set};
use crate::ObjectKey;
use crate::authority::{self, Holder};
use crate::finding::{Finding, Findings};
use crate::grant::{self, GATEWAY_GROUP, Referent, Referrer};
use crate::index::Index;

/// What the clients of a port must prove. The API's types for a port and for all others differ in name only.
pub(super) struct Validation<'s> {
    field: String,
    mode: ClientAuthMode,
    references: Vec<Reference<'s>>,
}

struct Reference<'s> {
    group: &'s str,
    kind: &'s str,
    namespace: Option<&'s str>,
    name: &'s str,
}

/// "Once set this configuration overrides the default configuration for all Listeners handling HTTPS traffic that match this port"
/// (FrontendTLSConfig.perPort): also one that verifies nobody.
pub(super) fn of_port(spec: &api::GatewaySpec, port: i32) -> Option<Validation<'_>> {
    let frontend = spec.tls.as_ref()?.frontend.as_ref()?;
    let own = frontend.per_port.iter().flatten().enumerate().find(|(_, one)| one.port == port);
    match own {
        Some((nth, own)) => own.tls.validation.as_ref().map(|validation| for_port(validation, nth)),
        None => frontend.default.validation.as_ref().map(for_others),
    }
}

/// Whether any of it lets in clients that prove nothing.
pub(super) fn is_insecure(spec: &api::GatewaySpec) -> bool {
    let Some(frontend) = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else { return false };
    let ports = frontend.per_port.iter().flatten().filter_map(|one| one.tls.validation.as_ref()).map(|one| for_port(one, 0));
    let mut all = ports.chain(frontend.default.validation.as_ref().map(for_others));
    all.any(|one| one.mode == ClientAuthMode::AllowInsecureFallback)
}

fn for_port(given: &api::GatewayTlsFrontendPerPortTlsValidation, nth: usize) -> Validation<'_> {
    let references = given.ca_certificate_refs.iter();
    let references = references.map(|one| reference((&one.group, &one.kind), one.namespace.as_ref(), &one.name)).collect();
    let mode = match given.mode {
        Some(api::GatewayTlsFrontendPerPortTlsValidationMode::AllowInsecureFallback) => ClientAuthMode::AllowInsecureFallback,
        Some(api::GatewayTlsFrontendPerPortTlsValidationMode::AllowValidOnly) | None => ClientAuthMode::AllowValidOnly,
    };
    Validation { field: format!("spec.tls.frontend.perPort[{nth}].tls.validation"), mode, references }
}

fn for_others(given: &api::GatewayTlsFrontendDefaultValidation) -> Validation<'_> {
    let references = given.ca_certificate_refs.iter();
    let references = references.map(|one| reference((&one.group, &one.kind), one.namespace.as_ref(), &one.name)).collect();
    let mode = match given.mode {
        Some(api::GatewayTlsFrontendDefaultValidationMode::AllowInsecureFallback) => ClientAuthMode::AllowInsecureFallback,
        Some(api::GatewayTlsFrontendDefaultValidationMode::AllowValidOnly) | None => ClientAuthMode::AllowValidOnly,
    };
    Validation { field: "spec.tls.frontend.default.validation".to_owned(), mode, references }
}

fn reference<'s>((group, kind): (&'s str, &'s str), namespace: Option<&'s String>, name: &'s str) -> Reference<'s> {
    Reference { group, kind, namespace: namespace.map(String::as_str), name }
}

impl Validation<'_> {
    /// For a listener of the Gateway or of one of its ListenerSets. The authorities are the Gateway's own affair: a ListenerSet is told no
    /// more than that there is none.
    pub(super) fn resolve(
        &self,
        index: &Index<'_>,
        gateway: &ObjectKey,
        holder: &listener::Holder,
        findings: &mut Findings,
    ) -> Option<Arc<ClientAuth>> {
        match holder {
            listener::Holder::Gateway(_) => self.authorities(index, gateway, findings),
            listener::Holder::Set(_) => {
                let found = self.authorities(index, gateway, &mut Findings::default());
                if found.is_none() {
                    let message = "clients are to be verified as the Gateway says, and cannot be, so this listener is not served: its owner \
                                   must correct spec.tls.frontend";
                    findings.push(Finding::accepted(set::PARENT, "NoValidCACertificate", message));
                }
                found
            }
        }
    }

    /// "If ALL CACertificateRefs are invalid, the implementation MUST also ensure the `Accepted` condition on the listener is set to
    /// `status: False`, with the Reason `NoValidCACertificate`" (FrontendTLSValidation.caCertificateRefs); else those count that are valid.
    fn authorities(&self, index: &Index<'_>, gateway: &ObjectKey, findings: &mut Findings) -> Option<Arc<ClientAuth>> {
        let field = format!("{}.caCertificateRefs", self.field);
        let mut roots = String::new();
        for (nth, reference) in self.references.iter().enumerate() {
            match reference.resolve(index, gateway) {
                Ok(pem) => roots.push_str(&pem),
                Err((reason, message)) => findings.push(Finding::refs(format!("{field}[{nth}]"), reason, message)),
            }
        }
        if roots.is_empty() {
            let message = "clients cannot be verified, so this listener is not served: none of the authorities can be used; correct \
                           caCertificateRefs";
            findings.push(Finding::accepted(field, "NoValidCACertificate", message));
            return None;
        }
        Some(Arc::new(ClientAuth { mode: self.mode, roots }))
    }
}

impl Reference<'_> {
    fn resolve(&self, index: &Index<'_>, gateway: &ObjectKey) -> Result<String, (&'static str, String)> {
        let Some(holder) = Holder::of(self.group, self.kind) else {
            return Err(("InvalidCACertificateKind", authority::unknown_kind(self.group, self.kind)));
        };
        let key = ObjectKey::new(self.namespace.unwrap_or(&gateway.namespace), self.name);
        let from = Referrer { group: GATEWAY_GROUP, kind: "Gateway", namespace: &gateway.namespace };
        let to = Referent { group: "", kind: holder.as_str(), key: &key };
        match index.permits(from, to) {
            true => authority::resolve(index, holder, &key).map_err(|message| ("InvalidCACertificateRef", message)),
            false => Err(("RefNotPermitted", grant::refusal(from, to))),
        }
    }
}

//! BackendTLSPolicies: which Service ports are spoken to in TLS, and whom their certificates must be of. A policy counts as a part of the
//! Services that it targets: whatever looked at one of them is judged anew when the policy changes.
//!
//! Whatever is wrong with a policy, its targets are never spoken to in clear: their requests are refused.

mod model;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use policy::config::{BackendTls, SubjectAltName, TrustedRoots};
use policy::{Hostname, Reason};

pub use model::BackendTlsPolicy;
use model::{Name, TargetRef};

use crate::ObjectKey;
use crate::authority::{self, Holder};
use crate::finding::{Finding, Findings, UNSUPPORTED_VALUE};
use crate::index::Index;

const VALIDATION: &str = "spec.validation";
/// "The supplied value is not recognized … `Accepted` … `Invalid`" (BackendTLSPolicyValidation.wellKnownCACertificates).
const INVALID: &str = "Invalid";

/// A policy, judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) generation: Option<i64>,
    pub(crate) findings: Findings,
    /// Services that it targets.
    pub(crate) services: BTreeSet<ObjectKey>,
}

/// "The older policy by creation timestamp takes precedence", then "the policy appearing first in alphabetical order by
/// {namespace}/{name}" (BackendTLSPolicySpec.targetRefs).
type Age<'p> = (i64, Option<&'p str>);

impl BackendTlsPolicy {
    fn age(&self) -> Age<'_> {
        let created = self.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
        (created.unwrap_or_default(), self.metadata.name.as_deref())
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.metadata)
    }

    /// Targets are in the policy's own namespace.
    pub(crate) fn services(&self) -> BTreeSet<ObjectKey> {
        let namespace = self.key().namespace;
        self.spec.target_refs.iter().filter(|target| target.is_service()).map(|target| ObjectKey::new(&namespace, &target.name)).collect()
    }

    /// Its references to a Service.
    fn targets<'p>(&'p self, service: &'p ObjectKey) -> impl Iterator<Item = &'p TargetRef> {
        self.spec.target_refs.iter().filter(move |target| target.is_service() && target.name == service.name)
    }
}

/// How a Service's port is to be spoken to; `None`: no policy targets it.
pub(crate) fn of_port(index: &Index<'_>, service: &ObjectKey, port: &ServicePort) -> Option<Result<Arc<BackendTls>, Reason>> {
    let policy = governing(index, service, port)?;
    let settings = settings(index, policy, &mut Findings::default());
    Some(settings.map(Arc::new).ok_or(Reason::InvalidBackendTls))
}

/// Whether a policy targets a Service's port.
pub(crate) fn covers(index: &Index<'_>, service: &ObjectKey, port: &ServicePort) -> bool {
    governing(index, service, port).is_some()
}

/// The policy that counts for a port: one for the port by its name before one for all ports; then the oldest.
fn governing<'s>(index: &Index<'s>, service: &ObjectKey, port: &ServicePort) -> Option<&'s BackendTlsPolicy> {
    let rank = |policy: &'s BackendTlsPolicy| {
        let sections: Vec<Option<&str>> = policy.targets(service).map(TargetRef::section).collect();
        let by_name = sections.iter().any(|section| section.is_some() && *section == port.name.as_deref());
        (by_name || sections.contains(&None)).then(|| ((!by_name, policy.age()), policy))
    };
    index.policies(service).into_iter().filter_map(rank).min_by_key(|(rank, _)| *rank).map(|(_, policy)| policy)
}

pub(crate) fn judge(index: &Index<'_>, policy: &BackendTlsPolicy) -> Judged {
    let mut findings = Findings::default();
    for (nth, target) in policy.spec.target_refs.iter().enumerate() {
        findings.extend(target_finding(index, policy, target, &format!("spec.targetRefs[{nth}]")));
    }
    if !policy.spec.options.is_empty() {
        let message = format!("options are not understood and have no effect: {}", policy.spec.options.join(", "));
        findings.push(Finding::warning("spec.options", UNSUPPORTED_VALUE, message));
    }
    settings(index, policy, &mut findings);
    Judged { generation: policy.metadata.generation, findings, services: policy.services() }
}

fn target_finding(index: &Index<'_>, policy: &BackendTlsPolicy, target: &TargetRef, field: &str) -> Option<Finding> {
    if !target.is_service() {
        let message = format!("a target of kind {} in group {:?} is not served: name a core Service", target.kind, target.group);
        return Some(Finding::accepted(field, "TargetNotFound", message));
    }
    let service = ObjectKey::new(policy.key().namespace, &target.name);
    conflict(index, policy, target, &service, field).or_else(|| missing_port(index.service(&service)?, target, &service, field))
}

/// "For any BackendTLSPolicy that does not take precedence, the implementation MUST ensure the `Accepted` Condition is set to
/// `status: False`, with Reason `Conflicted`" (BackendTLSPolicySpec.targetRefs).
fn conflict(index: &Index<'_>, policy: &BackendTlsPolicy, target: &TargetRef, service: &ObjectKey, field: &str) -> Option<Finding> {
    let same = |other: &BackendTlsPolicy| other.targets(service).any(|one| one.section() == target.section());
    let rival = index.policies(service).into_iter().filter(|other| other.age() < policy.age()).find(|other| same(other))?;
    let port = target.section().map(|section| format!("port {section} of ")).unwrap_or_default();
    let message = format!(
        "BackendTLSPolicy {} is older, or before this one by name, and targets {port}Service {service} too: remove one of them",
        rival.key()
    );
    Some(Finding::accepted(field, "Conflicted", message))
}

/// "If a SectionName is specified, but does not exist on the targeted object, the Policy must fail to attach"
/// (LocalPolicyTargetReferenceWithSectionName.sectionName).
fn missing_port(service: &Service, target: &TargetRef, key: &ObjectKey, field: &str) -> Option<Finding> {
    let section = target.section()?;
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let message = || format!("Service {key} has no port named {section}: correct the sectionName");
    let exists = ports.iter().any(|port| port.name.as_deref() == Some(section));
    (!exists).then(|| Finding::accepted(format!("{field}.sectionName"), "TargetNotFound", message()))
}

/// How to connect; `None`: it cannot be said, so no connection is made.
fn settings(index: &Index<'_>, policy: &BackendTlsPolicy, findings: &mut Findings) -> Option<BackendTls> {
    let roots = roots(index, policy, findings);
    let given = &policy.spec.validation;
    let sni = Hostname::parse(&given.hostname).ok().filter(|hostname| hostname.wildcard_suffix().is_none());
    if sni.is_none() {
        let message = "the hostname is not one: name the host that the backend's certificate is for, without wildcard";
        findings.push(Finding::accepted(format!("{VALIDATION}.hostname"), INVALID, message));
    }
    let names: Vec<Option<SubjectAltName>> = given.subject_alt_names.iter().map(name).collect();
    for (nth, _) in names.iter().enumerate().filter(|(_, name)| name.is_none()) {
        let message = "this is no name that a certificate can have: use type Hostname with a hostname, or URI with a uri";
        findings.push(Finding::accepted(format!("{VALIDATION}.subjectAltNames[{nth}]"), INVALID, message));
    }
    let names: Option<Vec<SubjectAltName>> = names.into_iter().collect();
    Some(BackendTls { sni: sni?.as_str().to_owned(), names: names?, roots: roots?, client_certificate: None })
}

fn name(given: &Name) -> Option<SubjectAltName> {
    match (given.kind.as_str(), &given.hostname, &given.uri) {
        ("Hostname", Some(hostname), _) => Hostname::parse(hostname).ok().map(SubjectAltName::Hostname),
        ("URI", _, Some(uri)) if uri.contains(':') => Some(SubjectAltName::Uri(uri.clone())),
        _ => None,
    }
}

fn roots(index: &Index<'_>, policy: &BackendTlsPolicy, findings: &mut Findings) -> Option<TrustedRoots> {
    let given = &policy.spec.validation;
    let well_known = given.well_known.as_deref().filter(|name| !name.is_empty());
    match (given.authorities.is_empty(), well_known) {
        (false, None) => authorities(index, policy, findings).map(TrustedRoots::Pem),
        (true, Some("System")) => Some(TrustedRoots::System),
        (true, Some(_)) => {
            let message = "this set of authorities is not known: use System, or caCertificateRefs";
            findings.push(Finding::accepted(format!("{VALIDATION}.wellKnownCACertificates"), INVALID, message));
            None
        }
        (true, None) | (false, Some(_)) => {
            findings.push(Finding::accepted(VALIDATION, INVALID, "say either caCertificateRefs or wellKnownCACertificates"));
            None
        }
    }
}

/// "If ALL CACertificateRefs are invalid, the implementation MUST also ensure the `Accepted` Condition … is set to `status: False`, with a
/// Reason `NoValidCACertificate`"; else those count that are valid.
fn authorities(index: &Index<'_>, policy: &BackendTlsPolicy, findings: &mut Findings) -> Option<String> {
    let field = format!("{VALIDATION}.caCertificateRefs");
    let namespace = policy.key().namespace;
    let mut pem = String::new();
    for (nth, given) in policy.spec.validation.authorities.iter().enumerate() {
        let key = ObjectKey::new(&namespace, &given.name);
        let found = match Holder::of(&given.group, &given.kind) {
            Some(holder) => authority::resolve(index, holder, &key).map_err(|message| ("InvalidCACertificateRef", message)),
            None => Err(("InvalidKind", authority::unknown_kind(&given.group, &given.kind))),
        };
        match found {
            Ok(found) => pem.push_str(&found),
            Err((reason, message)) => findings.push(Finding::refs(format!("{field}[{nth}]"), reason, message)),
        }
    }
    if pem.is_empty() {
        let message = "none of the authorities can be used, so requests to the targets are refused: correct caCertificateRefs";
        findings.push(Finding::accepted(field, "NoValidCACertificate", message));
        return None;
    }
    Some(pem)
}

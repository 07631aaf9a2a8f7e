//! `tls.certificateRefs` and the like: from references to certificates that can be served or shown. What is in a Secret never gets into a
//! message.

use std::sync::LazyLock;

use gateway_api::experimental::gateways as api;
use k8s_openapi::api::core::v1::Secret;
use policy::{Token, config};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::listener::Holder;
use crate::ObjectKey;
use crate::finding::{Finding, Findings, UNSUPPORTED_VALUE};
use crate::grant::{self, GATEWAY_GROUP, Referent, Referrer};
use crate::index::Index;

const INVALID_REF: &str = "InvalidCertificateRef";
const INVALID_CLIENT_REF: &str = "InvalidClientCertificateRef";
const CLIENT_REF: &str = "spec.tls.backend.clientCertificateRef";

/// Which kinds of keys can be served.
static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(rustls::crypto::aws_lc_rs::default_provider);

/// The usable certificates of a listener where TLS ends, by resource name. A ListenerSet needs grants of its own: its Gateway's are not for
/// it.
pub(super) fn of_listener(
    index: &Index<'_>,
    holder: &Holder,
    listener: &api::GatewayListeners,
    field: &str,
    findings: &mut Findings,
) -> Vec<(String, config::Secret)> {
    let (tls, protocol) = (listener.tls.as_ref(), &listener.protocol);
    if tls.is_some_and(|tls| tls.mode == Some(api::GatewayListenersTlsMode::Passthrough)) {
        let message = format!("a listener of protocol {protocol} terminates TLS: use mode Terminate");
        findings.push(Finding::accepted(format!("{field}.tls.mode"), UNSUPPORTED_VALUE, message));
    }
    let references = tls.and_then(|tls| tls.certificate_refs.as_deref()).unwrap_or_default();
    if references.is_empty() {
        let message = format!(
            "a listener of protocol {protocol} that terminates TLS needs a certificate: name a Secret of type kubernetes.io/tls in \
             tls.certificateRefs"
        );
        findings.push(Finding::refs(format!("{field}.tls.certificateRefs"), INVALID_REF, message));
    }
    let mut certificates = Vec::new();
    for (nth, reference) in references.iter().enumerate() {
        let reference = Reference {
            target: (reference.group.as_deref(), reference.kind.as_deref()),
            namespace: reference.namespace.as_deref(),
            name: &reference.name,
        };
        match resolve(index, holder, reference) {
            Ok(certificate) => certificates.push(certificate),
            Err((reason, message)) => findings.push(Finding::refs(format!("{field}.tls.certificateRefs[{nth}]"), reason, message)),
        }
    }
    certificates
}

/// The certificate that the Gateway shows to backends that ask for one, by resource name. One that cannot be had is said in the Gateway's
/// `ResolvedRefs`; none is shown then.
pub(super) fn of_client(
    index: &Index<'_>,
    gateway: &ObjectKey,
    given: &api::GatewayTlsBackendClientCertificateRef,
    findings: &mut Findings,
) -> Option<(String, config::Secret)> {
    let target = (given.group.as_deref(), given.kind.as_deref());
    let reference = Reference { target, namespace: given.namespace.as_deref(), name: &given.name };
    let missed = |(reason, message): Miss| {
        let reason = if reason == INVALID_REF { INVALID_CLIENT_REF } else { reason };
        Finding::refs(CLIENT_REF, reason, message)
    };
    resolve(index, &Holder::Gateway(gateway.clone()), reference).map_err(|miss| findings.push(missed(miss))).ok()
}

type Miss = (&'static str, String);

/// To a Secret. The API's types differ in name only.
struct Reference<'s> {
    /// Group and kind.
    target: (Option<&'s str>, Option<&'s str>),
    namespace: Option<&'s str>,
    name: &'s str,
}

fn resolve(index: &Index<'_>, holder: &Holder, reference: Reference<'_>) -> Result<(String, config::Secret), Miss> {
    let (group, kind) = (reference.target.0.unwrap_or_default(), reference.target.1.unwrap_or("Secret"));
    if !group.is_empty() || kind != "Secret" {
        return Err((INVALID_REF, format!("{group} {kind} cannot hold a certificate: refer to a core Secret")));
    }
    let key = ObjectKey::new(reference.namespace.unwrap_or(&holder.key().namespace), reference.name);
    // The grant comes before existence: a refusal must not tell whether a foreign Secret exists (GatewaySecretMissingReferenceGrant).
    let from = Referrer { group: GATEWAY_GROUP, kind: holder.kind(), namespace: &holder.key().namespace };
    let to = Referent { group: "", kind: "Secret", key: &key };
    if !index.permits(from, to) {
        return Err(("RefNotPermitted", grant::refusal(from, to)));
    }
    let secret = index.secret(&key).ok_or_else(|| (INVALID_REF, format!("Secret {key} does not exist: create it")))?;
    let certificate = read(secret).map_err(|what| (INVALID_REF, format!("Secret {key} {what}")))?;
    Ok((format!("Certificate/{key}"), certificate))
}

fn read(secret: &Secret) -> Result<config::Secret, String> {
    if secret.type_.as_deref() != Some("kubernetes.io/tls") {
        return Err("is not of type kubernetes.io/tls: create it with kubectl create secret tls".to_owned());
    }
    let pem = |key: &str| -> Result<String, String> {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).ok_or_else(|| format!("has no key {key}"))?;
        String::from_utf8(bytes.0.clone()).map_err(|_| format!("holds no PEM text under {key}"))
    };
    let (chain, key) = (pem("tls.crt")?, Token::new(pem("tls.key")?));
    check(&chain, &key)?;
    Ok(config::Secret::Certificate { chain, key })
}

/// Whether chain and key are PEM and belong together.
// The errors of the PEM reader may repeat the line they stumbled over, which may be part of a key; so they are not repeated here.
pub(crate) fn check(chain: &str, key: &Token) -> Result<(), String> {
    let certificates: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let certificates = certificates.ok().filter(|certificates| !certificates.is_empty());
    let certificates = certificates.ok_or("holds no valid PEM certificate under tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| "holds no valid PEM private key under tls.key")?;
    let owned = certificates.into_iter().map(CertificateDer::into_owned).collect();
    match CertifiedKey::from_der(owned, key, &PROVIDER) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err("holds a tls.key that does not belong to its tls.crt: create it anew from one pair".to_owned())
        }
        Err(_) => Err("holds a tls.crt or tls.key of a type that is not supported: use ECDSA P-256, P-384, Ed25519 or RSA".to_owned()),
    }
}

//! Certificates of authorities that objects refer to: `ca.crt` of a ConfigMap ("Support: Core"), or of a Secret, as cert-manager makes
//! them.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::ObjectKey;
use crate::index::Index;

/// The key under which certificates stand.
const KEY: &str = "ca.crt";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What can be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    ConfigMap,
    Secret,
}

impl Holder {
    /// `None`: no kind that holds certificates here.
    pub(crate) fn of(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            ("", "ConfigMap") => Some(Self::ConfigMap),
            ("", "Secret") => Some(Self::Secret),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// The words for a reference to another kind.
pub(crate) fn unknown_kind(group: &str, kind: &str) -> String {
    format!("{group} {kind} cannot hold certificates of authorities here: refer to a core ConfigMap or Secret").trim_start().to_owned()
}

/// All that is remembered of a ConfigMap; `None`: it holds no certificates.
pub(crate) fn of_config_map(config_map: &ConfigMap) -> Option<&String> {
    config_map.data.as_ref()?.get(KEY)
}

/// The certificates that a reference leads to, as PEM with nothing in between; or what is wrong.
pub(crate) fn resolve(index: &Index<'_>, holder: Holder, key: &ObjectKey) -> Result<String, String> {
    let kind = holder.as_str();
    let text = match holder {
        Holder::ConfigMap => index.authority(key).map(String::as_str),
        Holder::Secret => index.secret(key).and_then(of_secret),
    };
    let text = text.ok_or_else(|| format!("{kind} {key} does not exist or has no text under {KEY}: create it with the authority's PEM"))?;
    let pem = certificates(text);
    match is_usable(&pem) {
        true => Ok(pem),
        false => Err(format!("{kind} {key} holds no usable PEM certificate under {KEY}: put the authority's there")),
    }
}

fn of_secret(secret: &Secret) -> Option<&str> {
    std::str::from_utf8(&secret.data.as_ref()?.get(KEY)?.0).ok()
}

/// Bundles hold comments, and by mistake keys: none of that travels.
fn certificates(text: &str) -> String {
    let mut pem = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        inside |= line == BEGIN;
        if inside {
            pem.push_str(line);
            pem.push('\n');
        }
        inside &= line != END;
    }
    pem
}

/// As the proxy reads it: what it cannot understand is not trusted.
fn is_usable(pem: &str) -> bool {
    let parsed: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let mut roots = RootCertStore::empty();
    parsed.is_ok_and(|certificates| roots.add_parsable_certificates(certificates).0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_nothing_but_certificates() {
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        let text = format!("# ours\n{BEGIN}\r\nAAAA\r\n{END}\n{key}\n {BEGIN}\nBBBB\n{END}");
        assert_eq!(certificates(&text), format!("{BEGIN}\nAAAA\n{END}\n{BEGIN}\nBBBB\n{END}\n"));
        assert_eq!(certificates("anything"), "");
    }

    #[test]
    fn trusts_nothing_that_is_no_certificate() {
        for pem in ["", "anything", &format!("{BEGIN}\nAAAA\n{END}\n"), &format!("{BEGIN}\n!\n{END}\n"), &format!("{BEGIN}\nAAAA\n")] {
            assert!(!is_usable(&certificates(pem)), "{pem}");
        }
    }
}

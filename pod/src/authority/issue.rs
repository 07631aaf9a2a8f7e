//! Keys and certificates: an authority, and what it signs. Nothing here prints a key.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

/// Clocks differ a little.
const SKEW: Duration = Duration::from_secs(300);

/// An authority that can sign.
pub(super) struct Signer {
    /// PEM.
    pub(super) certificate: String,
    key: KeyPair,
    pub(super) made: Timestamp,
    pub(super) ends: Timestamp,
}

/// A serving certificate with its key.
pub(super) struct Issued {
    pub(super) key: Arc<CertifiedKey>,
}

impl Signer {
    /// One of the program with this name.
    pub(super) fn new(name: &str, life: Duration, now: Timestamp) -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("a key")?;
        let ends = now.checked_add(life).context("the end of an authority's life")?;
        let certificate = authority(name, now, ends)?.self_signed(&key).context("a certificate")?.pem();
        Ok(Self { certificate, key, made: now, ends })
    }

    /// As the Secret has it; `times` as [`Signer::times`] writes them.
    pub(super) fn read(certificate: String, key: String, times: Option<String>) -> anyhow::Result<Self> {
        // Errors of parsers may quote what they read.
        let key = KeyPair::from_pem(&key).ok().context("its key is not a key")?;
        CertificateDer::from_pem_slice(certificate.as_bytes()).ok().context("its certificate is not a certificate")?;
        let times: (i64, i64) = times.and_then(|times| serde_json::from_str(&times).ok()).context("its times are missing")?;
        let (made, ends) = (Timestamp::from_second(times.0)?, Timestamp::from_second(times.1)?);
        Ok(Self { certificate, key, made, ends })
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(super) fn times(&self) -> String {
        format!("[{},{}]", self.made.as_second(), self.ends.as_second())
    }

    /// A serving certificate. It never outlives its authority, and names it as the authority's own certificate does, whatever made that.
    pub(super) fn issue(&self, name: &str, dns_names: &[String], life: Duration, now: Timestamp) -> anyhow::Result<Issued> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &self.key).context("the authority's certificate")?;
        let key = KeyPair::generate().context("a key")?;
        let mut params = CertificateParams::new(dns_names.to_vec()).context("names of the certificate")?;
        params.distinguished_name = named(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let ends = now.checked_add(life).context("the end of a certificate's life")?.min(self.ends);
        (params.not_before, params.not_after) = (time_of(now, SKEW)?, time_of(ends, Duration::ZERO)?);
        let certificate = params.signed_by(&key, &issuer).context("a certificate")?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).context("a key that TLS can use")?;
        Ok(Issued { key: Arc::new(CertifiedKey::new(chain, key)) })
    }
}

fn authority(name: &str, made: Timestamp, ends: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Two authorities need two names, or a verifier may try the wrong key.
    params.distinguished_name = named(&format!("{name} CA {}", made.as_second()));
    (params.not_before, params.not_after) = (time_of(made, SKEW)?, time_of(ends, Duration::ZERO)?);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn time_of(at: Timestamp, earlier: Duration) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::from_unix_timestamp(at.as_second())? - earlier)
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: i64 = 1_800_000_000;

    /// As a client that trusts the authority does.
    fn verify(authority: &str, issued: &Issued) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authority.as_bytes()).flatten());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let (name, now) = (ServerName::try_from("a.svc").unwrap(), UnixTime::since_unix_epoch(Duration::from_secs(NOW as u64)));
        verifier.verify_server_cert(&issued.key.cert[0], &[], &name, &[], now).map(drop)
    }

    #[test]
    fn what_is_signed_is_verified_by_its_authority_also_when_another_name_made_that() {
        let now = Timestamp::from_second(NOW).unwrap();
        let made = Signer::new("before", HOUR, now).unwrap();
        let read = Signer::read(made.certificate.clone(), made.key_pem(), Some(made.times())).unwrap();
        let issued = read.issue("now", &["a.svc".to_owned()], HOUR, now).unwrap();
        verify(&made.certificate, &issued).unwrap();
        let other = Signer::new("before", HOUR, now).unwrap();
        assert!(verify(&other.certificate, &issued).is_err());
    }
}

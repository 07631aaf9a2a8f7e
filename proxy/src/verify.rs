//! Who a pod's certificate must be for. rustls verifies DNS names only; a BackendTLSPolicy may ask for URIs too, and for any of several
//! names in place of the one that is sent as SNI.

use std::sync::Arc;

use policy::Hostname;
use policy::config::{BackendTls, SubjectAltName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::EndEntityCert;

/// Verifies that a certificate is signed by one of the authorities, for TLS servers, and for one of the names.
#[derive(Debug)]
pub(crate) struct NamedPod {
    roots: Arc<RootCertStore>,
    /// Any of them will do. Never empty.
    names: Vec<SubjectAltName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl NamedPod {
    /// "If SubjectAltNames are specified, Hostname … MUST NOT be used for authentication" (BackendTLSPolicyValidation.hostname).
    pub(crate) fn new(roots: Arc<RootCertStore>, settings: &BackendTls, algorithms: WebPkiSupportedAlgorithms) -> Result<Self, String> {
        let names = match settings.names.as_slice() {
            [] => vec![SubjectAltName::Hostname(Hostname::parse(&settings.sni).map_err(|e| e.to_string())?)],
            names => names.to_vec(),
        };
        Ok(Self { roots, names, algorithms })
    }

    fn is_named(&self, certificate: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> Result<bool, Error> {
        // The parsed certificate of rustls does not show its names.
        let entity = EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
        Ok(self.names.iter().any(|name| match name {
            SubjectAltName::Uri(uri) => entity.valid_uri_names().any(|presented| presented == uri),
            SubjectAltName::Hostname(hostname) => match hostname.wildcard_suffix() {
                Some(suffix) => entity.valid_dns_names().any(|presented| is_one_label_before(presented, suffix)),
                None => is_for(parsed, hostname),
            },
        }))
    }
}

fn is_for(parsed: &ParsedCertificate<'_>, hostname: &Hostname) -> bool {
    let name = DnsName::try_from(hostname.as_str()).map(ServerName::DnsName);
    name.is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
}

/// `*.example.com` is met by that very name in a certificate and by `a.example.com`: one label, as in certificates themselves (RFC 6125
/// section 6.4.3).
fn is_one_label_before(presented: &str, suffix: &str) -> bool {
    let presented = presented.to_ascii_lowercase();
    presented.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'))
}

impl ServerCertVerifier for NamedPod {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        match self.is_named(end_entity, &parsed)? {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use policy::config::TrustedRoots;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
    use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

    use super::*;

    /// An authority, and a certificate that it signed.
    struct Pod {
        authority: CertificateDer<'static>,
        certificate: CertificateDer<'static>,
    }

    const URI: &str = "spiffe://example.com/ns/default/sa/pod";

    fn authority() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "authority");
        params
    }

    fn pod(change: impl FnOnce(&mut CertificateParams)) -> Pod {
        let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let signed = authority().self_signed(&key).unwrap();
        let mut params = CertificateParams::new(vec!["a.example.com".to_owned(), "*.wild.example.com".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(URI.try_into().unwrap()));
        change(&mut params);
        let certificate = params.signed_by(&own, &Issuer::new(authority(), &key)).unwrap();
        Pod { authority: signed.der().clone(), certificate: certificate.der().clone() }
    }

    fn hostname(text: &str) -> SubjectAltName {
        SubjectAltName::Hostname(Hostname::parse(text).unwrap())
    }

    fn uri(text: &str) -> SubjectAltName {
        SubjectAltName::Uri(text.to_owned())
    }

    fn verify_by(authority: &CertificateDer<'static>, pod: &Pod, sni: &str, names: Vec<SubjectAltName>) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let settings = BackendTls { sni: sni.to_owned(), names, roots: TrustedRoots::System, client_certificate: None };
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let verifier = NamedPod::new(Arc::new(roots), &settings, algorithms).unwrap();
        let server_name = ServerName::try_from(sni.to_owned()).unwrap();
        verifier.verify_server_cert(&pod.certificate, &[], &server_name, &[], UnixTime::now()).map(drop)
    }

    fn verify(pod: &Pod, sni: &str, names: Vec<SubjectAltName>) -> bool {
        verify_by(&pod.authority, pod, sni, names).is_ok()
    }

    #[test]
    fn without_names_the_server_name_is_what_counts() {
        let pod = pod(|_| ());
        assert!(verify(&pod, "a.example.com", Vec::new()) && verify(&pod, "b.wild.example.com", Vec::new()));
        assert!(!verify(&pod, "b.example.com", Vec::new()) && !verify(&pod, "c.b.wild.example.com", Vec::new()));
    }

    #[test]
    fn with_names_the_server_name_proves_nothing() {
        let pod = pod(|_| ());
        assert!(!verify(&pod, "a.example.com", vec![hostname("b.example.com")]));
        assert!(verify(&pod, "b.example.com", vec![hostname("a.example.com")]));
    }

    #[test]
    fn any_of_the_names_will_do() {
        let pod = pod(|_| ());
        assert!(verify(&pod, "b.example.com", vec![hostname("b.example.com"), uri(URI)]));
        assert!(verify(&pod, "b.example.com", vec![uri("spiffe://example.com/other"), hostname("a.example.com")]));
        assert!(!verify(&pod, "a.example.com", vec![uri("spiffe://example.com/other"), hostname("b.example.com")]));
    }

    #[test]
    fn a_uri_must_be_there_to_the_letter_and_as_a_uri() {
        let pod = pod(|_| ());
        assert!(verify(&pod, "a.example.com", vec![uri(URI)]));
        for other in ["spiffe://example.com/ns/default/sa", "SPIFFE://example.com/ns/default/sa/pod", "a.example.com", ""] {
            assert!(!verify(&pod, "a.example.com", vec![uri(other)]), "{other}");
        }
    }

    #[test]
    fn a_wildcard_is_met_by_itself_and_by_one_label() {
        let pod = pod(|_| ());
        assert!(verify(&pod, "x", vec![hostname("*.example.com")]) && verify(&pod, "x", vec![hostname("*.wild.example.com")]));
        assert!(!verify(&pod, "x", vec![hostname("*.com")]) && !verify(&pod, "x", vec![hostname("*.a.example.com")]));
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused_whatever_its_names() {
        let (pod, other) = (pod(|_| ()), pod(|_| ()));
        assert!(verify_by(&other.authority, &pod, "a.example.com", Vec::new()).is_err());
        assert!(verify_by(&other.authority, &pod, "a.example.com", vec![uri(URI)]).is_err());
    }

    #[test]
    fn a_certificate_that_ended_or_is_for_clients_is_refused() {
        let ended = pod(|params| params.not_after = date_time_ymd(2020, 1, 1));
        assert!(!verify(&ended, "a.example.com", vec![uri(URI)]));
        let client = pod(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
        assert!(!verify(&client, "a.example.com", vec![uri(URI)]));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let mut pod = pod(|_| ());
        pod.certificate = CertificateDer::from(vec![0x30, 0x00]);
        assert!(!verify(&pod, "a.example.com", vec![uri(URI)]));
    }
}

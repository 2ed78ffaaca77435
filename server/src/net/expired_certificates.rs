//! Certificates outside their validity: lets a machine whose certificate has expired, or is not valid yet, connect to the
//! server to renew it (rule I8). A certificate that is not valid yet was issued while the server's clock was ahead.
//!
//! Only the server's own port accepts them. What they may do there is decided per request (`api::extract`), and
//! machines stay strict with each other. Everything but the certificate's age is verified as usual.

use banyan_proto::UnixSeconds;
use banyan_wire::tls::validity;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{sync::Arc, time::Duration};

/// How long after its expiry a certificate can be renewed (seconds): 400 days.
const GRACE_SECONDS: u64 = 400 * 24 * 3600;

/// Accepts what the strict verifier accepts, and certificates that it refuses only because they have expired or are not
/// valid yet.
#[derive(Debug)]
pub(crate) struct ExpiredCertificateVerifier {
    strict: Arc<dyn ClientCertVerifier>,
    /// Makes the same checks at another time than now: it ignores the revocation list's expiry.
    at_any_time: Arc<dyn ClientCertVerifier>,
    /// When the revocation list expires.
    list_until: UnixSeconds,
}

impl ExpiredCertificateVerifier {
    pub(crate) fn new(
        strict: Arc<dyn ClientCertVerifier>,
        at_any_time: Arc<dyn ClientCertVerifier>,
        list_until: UnixSeconds,
    ) -> Self {
        Self { strict, at_any_time, list_until }
    }
}

impl ClientCertVerifier for ExpiredCertificateVerifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let refused = match self.strict.verify_client_cert(end_entity, intermediates, now) {
            Err(
                error @ TlsError::InvalidCertificate(
                    CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. },
                ),
            ) => error,
            result => return result,
        };
        let Some(valid) = validity(end_entity) else { return Err(refused) };
        // An expired revocation list says nothing about today (rule I4). Checked here because the verifier below ignores
        // its expiry.
        if now.as_secs().saturating_sub(valid.until.0) > GRACE_SECONDS || self.list_until.0 <= now.as_secs() {
            return Err(refused);
        }
        // The CA signs machines' certificates directly, so there are no intermediates. Any that were sent are ignored:
        // at the other time they might not be valid.
        let valid_time =
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().clamp(valid.from.0, valid.until.0)));
        self.at_any_time.verify_client_cert(end_entity, &[], valid_time)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.strict.verify_tls12_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.strict.verify_tls13_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }
    fn offer_client_auth(&self) -> bool {
        self.strict.offer_client_auth()
    }
    fn client_auth_mandatory(&self) -> bool {
        self.strict.client_auth_mandatory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ca::{Authority, CERTIFICATE_SECONDS};
    use banyan_proto::MachineId;
    use banyan_wire::tls::Crl;
    use rustls::pki_types::pem::PemObject as _;

    #[test]
    fn they_are_let_in_to_the_last_second_and_only_while_the_revocation_list_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let begun = UnixSeconds(1_700_000_000);
        let authority = Authority::open(folder.path(), begun).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let issued = authority.issue_machine_certificate(&csr, MachineId([1; 16]), begun).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        let end = begun.plus(CERTIFICATE_SECONDS);
        let server = authority.server_credentials(folder.path(), MachineId([2; 16]), begun).unwrap();
        // Returns whether the certificate is accepted at `now`, with a revocation list signed at `listed`.
        let is_accepted = |now: UnixSeconds, listed: UnixSeconds| {
            let der = authority.sign_revocation_list(1, &[], listed).unwrap();
            let list = Crl::read(der, authority.certificate()).unwrap();
            let (strict, at_any_time) = (server.verifier(Some(&list), true), server.verifier_at_any_time(&list, true));
            let verifier = ExpiredCertificateVerifier::new(strict.unwrap(), at_any_time.unwrap(), list.until);
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
            verifier.verify_client_cert(&certificate, &[], now).is_ok()
        };
        for (now, good) in [(end, true), (end.plus(GRACE_SECONDS), true), (end.plus(GRACE_SECONDS + 1), false)] {
            assert_eq!(is_accepted(now, now), good, "{now}");
        }
        // The server's clock was ahead when it issued the certificate, and has been corrected since.
        let long_before = UnixSeconds(begun.0 - 300 * 24 * 3600);
        assert!(
            is_accepted(long_before, long_before) && !is_accepted(long_before, UnixSeconds(long_before.0 - 90_000))
        );
        let late = end.plus(1000);
        assert!(is_accepted(late, late) && !is_accepted(late, UnixSeconds(late.0 - 2 * 24 * 3600)));
    }
}

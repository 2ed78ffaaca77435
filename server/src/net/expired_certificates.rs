//! Expired certificates: lets a machine whose certificate has expired connect to the server to renew it (rule I8).
//!
//! Only the server's own port accepts them. What they may do there is decided per request (`api::extract`), and
//! machines stay strict with each other. Everything but the certificate's age is verified as usual.

use banyan_proto::UnixSeconds;
use banyan_wire::tls::valid_until;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{sync::Arc, time::Duration};

/// How long after its expiry a certificate can be renewed (seconds): 400 days.
const GRACE_SECONDS: u64 = 400 * 24 * 3600;

/// Accepts what the strict verifier accepts, and certificates that it refuses only because they have expired.
#[derive(Debug)]
pub(crate) struct ExpiredCertificateVerifier {
    strict: Arc<dyn ClientCertVerifier>,
    /// When the strict verifier's revocation list expires.
    list_until: UnixSeconds,
}

impl ExpiredCertificateVerifier {
    pub(crate) fn new(strict: Arc<dyn ClientCertVerifier>, list_until: UnixSeconds) -> Self {
        Self { strict, list_until }
    }
}

impl ClientCertVerifier for ExpiredCertificateVerifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let expired = match self.strict.verify_client_cert(end_entity, intermediates, now) {
            Err(
                error @ TlsError::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                ),
            ) => error,
            result => return result,
        };
        let Some(until) = valid_until(end_entity) else { return Err(expired) };
        let late = now.as_secs().saturating_sub(until.0);
        // An expired revocation list says nothing about today (rule I4). Checked here because the verifier below uses
        // an earlier date.
        if late == 0 || late > GRACE_SECONDS || self.list_until.0 <= now.as_secs() {
            return Err(expired);
        }
        // The CA signs machines' certificates directly, so there are no intermediates. Any that were sent are ignored:
        // on the earlier date they might not be valid yet.
        let last_day = UnixTime::since_unix_epoch(Duration::from_secs(until.0));
        self.strict.verify_client_cert(end_entity, &[], last_day)
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
            let verifier = ExpiredCertificateVerifier::new(server.verifier(Some(&list), true).unwrap(), list.until);
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
            verifier.verify_client_cert(&certificate, &[], now).is_ok()
        };
        for (now, good) in [(end, true), (end.plus(GRACE_SECONDS), true), (end.plus(GRACE_SECONDS + 1), false)] {
            assert_eq!(is_accepted(now, now), good, "{now}");
        }
        let late = end.plus(1000);
        assert!(is_accepted(late, late) && !is_accepted(late, UnixSeconds(late.0 - 2 * 24 * 3600)));
    }
}

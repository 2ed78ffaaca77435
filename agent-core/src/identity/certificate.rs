//! This machine's certificate: the TLS credentials made with it, and when it has to be renewed.

use crate::database::Enrolment;
use anyhow::{Context, bail};
use banyan_proto::UnixSeconds;
use banyan_wire::tls::{Credentials, validity};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Returns whether a certificate should be renewed: less than a third of its lifetime is left (rule I7).
#[must_use]
pub fn is_due_for_renewal(certificate: &CertificateDer<'_>, now: UnixSeconds) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    i64::try_from(now.0).is_ok_and(|now| until - now < (until - from) / 3)
}

/// Returns whether a certificate has expired, or is not valid yet because it was issued while the server's clock was
/// ahead (rule I8).
#[must_use]
pub fn is_unusable(certificate: &CertificateDer<'_>, now: UnixSeconds) -> bool {
    validity(certificate).is_some_and(|valid| !valid.contains(now))
}

/// Makes this machine's TLS credentials from its enrolment and its key.
///
/// # Errors
/// When the certificate or the key is damaged, or the certificate is for another machine.
pub fn to_credentials(enrolment: &Enrolment, key: &KeyPair) -> anyhow::Result<Credentials> {
    let certificate = CertificateDer::from_pem_slice(enrolment.certificate.as_bytes())
        .context("this machine's certificate is damaged; enrol it again")?;
    let named = banyan_wire::tls::machine_of(&certificate)?;
    if named != enrolment.machine {
        bail!("this machine's certificate is for another machine ({named}); enrol it again");
    }
    Ok(Credentials {
        certificate,
        key: PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
        ca: CertificateDer::from_pem_slice(enrolment.ca.as_bytes()).context("the CA certificate is damaged")?,
    })
}

//! The certificate authority (rules I1–I4).
//!
//! Created at the first start; every join code pins it. It signs the server's own certificate, one certificate per
//! machine, and the revocation list. From a machine's request, only the public key goes into the certificate.

use crate::{private_files, refusal::Refusal, store::RevokedCertificate};
use banyan_proto::{Digest, MachineId, UnixSeconds};
use banyan_wire::tls::{Credentials, SERVER_NAME, Validity, machine_name, machine_of, validity};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    CrlDistributionPoint, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{io, path::Path, time::Duration};

const DAY: u64 = 24 * 3600;
/// Lifetime of the CA certificate (seconds).
const CA_SECONDS: u64 = 10 * 365 * DAY;
/// Lifetime of the machines' certificates and of the server's own (seconds).
pub(crate) const CERTIFICATE_SECONDS: u64 = 90 * DAY;
/// Remaining lifetime below which the server renews its own certificate (seconds).
const RENEW_BELOW_SECONDS: u64 = 30 * DAY;
/// Lifetime of a revocation list (seconds, rule I4).
pub(crate) const CRL_SECONDS: u64 = DAY;
/// How far a machine's clock may be behind the server's (seconds): certificates are valid from this long before they
/// are issued.
const BACKDATE_SECONDS: u64 = DAY;

/// Why a certificate could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot read or write the CA in {folder}: {source}")]
    Disk {
        /// The folder.
        folder: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file was changed or truncated.
    #[error("{0} is damaged; restore it from the backup")]
    Damaged(&'static str),
    /// The certificate request is malformed, or its signature does not match its key.
    #[error("the certificate request cannot be used: {0}")]
    Request(String),
    /// The certificate library returned an error.
    #[error("cannot create the certificate: {0}")]
    Signing(#[from] rcgen::Error),
}

impl From<CaError> for Refusal {
    fn from(error: CaError) -> Self {
        if matches!(error, CaError::Request(_)) { Self::bad(error.to_string()) } else { Self::internal(&error) }
    }
}

/// A newly issued certificate.
pub(crate) struct IssuedCertificate {
    /// The certificate as PEM text.
    pub(crate) pem: String,
    /// The serial number, as encoded in the certificate.
    pub(crate) serial: Vec<u8>,
    /// The hash of the machine's public key.
    pub(crate) key: Digest,
    /// When the certificate expires.
    pub(crate) expires: UnixSeconds,
}

/// The certificate authority.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Converts [`UnixSeconds`] to `rcgen`'s time type, which this crate cannot name.
macro_rules! at {
    ($time:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs($time.0)
    };
}

fn read_or_create_key_pair(path: &Path, name: &'static str) -> Result<KeyPair, CaError> {
    let folder = || path.parent().unwrap_or(path).display().to_string();
    let fresh = KeyPair::generate()?.serialize_pem();
    let pem = private_files::read_or_create(path, || fresh.into_bytes())
        .map_err(|source| CaError::Disk { folder: folder(), source })?;
    let pem = zeroize::Zeroizing::new(String::from_utf8(pem).map_err(|_| CaError::Damaged(name))?);
    KeyPair::from_pem(&pem).map_err(|_| CaError::Damaged(name))
}

/// Returns a random serial that is positive, never zero and of fixed length, so that its encoding is unique.
fn random_serial() -> Vec<u8> {
    let mut serial = MachineId::random().0;
    serial[0] = serial[0] & 0x3f | 0x40;
    serial.to_vec()
}

impl Authority {
    /// Reads the CA, or creates it at the first start.
    pub(crate) fn open(folder: &Path, now: UnixSeconds) -> Result<Self, CaError> {
        let key = read_or_create_key_pair(&folder.join("ca.key"), "ca.key")?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = format!("Banyan CA {}", MachineId::random().short());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from(random_serial()));
        params.not_before = at!(UnixSeconds(now.0.saturating_sub(BACKDATE_SECONDS)));
        params.not_after = at!(now.plus(CA_SECONDS));
        let fresh = params.self_signed(&key)?.pem();
        let pem = private_files::read_or_create(&folder.join("ca.pem"), || fresh.into_bytes())
            .map_err(|source| CaError::Disk { folder: folder.display().to_string(), source })?;
        let damaged = |_| CaError::Damaged("ca.pem");
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| CaError::Damaged("ca.pem"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(damaged)?;
        Ok(Self { certificate, pem: String::from_utf8_lossy(&pem).into_owned(), issuer })
    }
    /// Returns the digest that join codes and profiles pin.
    pub(crate) fn fingerprint(&self) -> Digest {
        Digest::of(&self.certificate)
    }
    /// Returns the CA's certificate as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
    /// Returns the CA's certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    fn leaf_params(
        names: Vec<String>,
        id: MachineId,
        now: UnixSeconds,
    ) -> Result<(CertificateParams, Vec<u8>), CaError> {
        let mut params = CertificateParams::new(names)?;
        let serial = random_serial();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, id.to_string());
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.crl_distribution_points = Vec::<CrlDistributionPoint>::new();
        params.use_authority_key_identifier_extension = true;
        params.not_before = at!(UnixSeconds(now.0.saturating_sub(BACKDATE_SECONDS)));
        params.not_after = at!(now.plus(CERTIFICATE_SECONDS));
        Ok((params, serial))
    }

    /// Issues a machine's certificate for the key in its request. The request's signature proves that the machine has
    /// the key; everything else in the request is ignored.
    ///
    /// # Errors
    /// Returns [`CaError::Request`] if the request is malformed or uses an unsupported key type.
    pub(crate) fn issue_machine_certificate(
        &self,
        csr: &str,
        id: MachineId,
        now: UnixSeconds,
    ) -> Result<IssuedCertificate, CaError> {
        let mut request =
            CertificateSigningRequestParams::from_pem(csr).map_err(|error| CaError::Request(error.to_string()))?;
        let allowed = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519];
        if !allowed.contains(&rcgen::PublicKeyData::algorithm(&request.public_key)) {
            return Err(CaError::Request("its key is neither ECDSA P-256 nor Ed25519".into()));
        }
        let (params, serial) = Self::leaf_params(vec![machine_name(id)], id, now)?;
        request.params = params;
        let key = Digest::of(rcgen::PublicKeyData::der_bytes(&request.public_key));
        let pem = request.signed_by(&self.issuer)?.pem();
        Ok(IssuedCertificate { pem, serial, key, expires: now.plus(CERTIFICATE_SECONDS) })
    }

    /// Returns the server's own credentials. Replaces the certificate if it is damaged or close to expiry; the key
    /// stays.
    pub(crate) fn server_credentials(
        &self,
        folder: &Path,
        id: MachineId,
        now: UnixSeconds,
    ) -> Result<Credentials, CaError> {
        let key = read_or_create_key_pair(&folder.join("server.key"), "server.key")?;
        let path = folder.join("server.pem");
        let stored = std::fs::read(&path).ok().and_then(|pem| CertificateDer::from_pem_slice(&pem).ok());
        let certificate = match stored.filter(|stored| self.can_keep(stored, id, now)) {
            Some(stored) => stored,
            None => {
                let (params, _) = Self::leaf_params(vec![SERVER_NAME.into(), machine_name(id)], id, now)?;
                let issued = params.signed_by(&key, &self.issuer)?;
                private_files::write_private(&path, issued.pem().as_bytes())
                    .map_err(|source| CaError::Disk { folder: folder.display().to_string(), source })?;
                issued.der().clone()
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| CaError::Damaged("server.key"))?;
        Ok(Credentials { certificate, key, ca: self.certificate.clone() })
    }
    /// Returns whether the server can keep this certificate of its own: it is the CA's, valid now, and not close to
    /// expiry. A certificate that is not valid yet was issued while the server's clock was ahead.
    pub(crate) fn can_keep(&self, certificate: &CertificateDer<'_>, id: MachineId, now: UnixSeconds) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
        let Ok((_, ca)) = x509_parser::parse_x509_certificate(&self.certificate) else { return false };
        let is_valid = |valid: Validity| valid.contains(now) && valid.contains(now.plus(RENEW_BELOW_SECONDS));
        parsed.issuer() == ca.subject()
            && validity(certificate).is_some_and(is_valid)
            && machine_of(certificate).is_ok_and(|found| found == id)
    }

    /// Signs a revocation list (DER) with these certificates.
    pub(crate) fn sign_revocation_list(
        &self,
        number: u64,
        revoked: &[RevokedCertificate],
        now: UnixSeconds,
    ) -> Result<Vec<u8>, CaError> {
        let revoked_certs = revoked
            .iter()
            .map(|certificate| RevokedCertParams {
                serial_number: SerialNumber::from(certificate.serial.clone()),
                revocation_time: at!(certificate.since),
                reason_code: Some(RevocationReason::CessationOfOperation),
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: at!(UnixSeconds(now.0.saturating_sub(BACKDATE_SECONDS))),
            next_update: at!(now.plus(CRL_SECONDS)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.der().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_wire::tls::Crl;

    #[test]
    fn the_ca_survives_a_restart_and_gives_machines_nothing_they_asked_for_but_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixSeconds::now();
        let authority = Authority::open(folder.path(), now).unwrap();
        let again = Authority::open(folder.path(), now.plus(10)).unwrap();
        assert_eq!(authority.fingerprint(), again.fingerprint());

        let key = KeyPair::generate().unwrap();
        let mut requested = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        requested.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = requested.serialize_request(&key).unwrap().pem().unwrap();
        let id = MachineId::random();
        let issued = again.issue_machine_certificate(&csr, id, now).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
        assert_eq!(machine_of(&certificate).unwrap(), id);
        assert!(!banyan_wire::tls::is_server(&certificate), "a machine took the server's name");
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        assert!(!parsed.is_ca());

        let clean = Crl::read(again.sign_revocation_list(1, &[], now).unwrap(), again.certificate()).unwrap();
        assert!(!clean.revokes(&certificate));
        let listed =
            again.sign_revocation_list(700, &[RevokedCertificate { serial: issued.serial, since: now }], now).unwrap();
        let list = Crl::read(listed, again.certificate()).unwrap();
        assert!(list.revokes(&certificate));
        assert_eq!(list.number, 700);
    }

    #[test]
    fn a_request_whose_signature_was_not_made_with_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let now = UnixSeconds::now();
        let authority = Authority::open(folder.path(), now).unwrap();
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap();
        let mut der = csr.der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        let text = data_encoding::BASE64.encode(&der);
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n");
        assert!(matches!(
            authority.issue_machine_certificate(&pem, MachineId::random(), now),
            Err(CaError::Request(_))
        ));
    }

    #[test]
    fn the_servers_certificate_is_renewed_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (now, id) = (UnixSeconds::now(), MachineId::random());
        let authority = Authority::open(folder.path(), now).unwrap();
        let first = authority.server_credentials(folder.path(), id, now).unwrap().certificate;
        assert_eq!(authority.server_credentials(folder.path(), id, now.plus(DAY)).unwrap().certificate, first);
        let later = now.plus(CERTIFICATE_SECONDS - RENEW_BELOW_SECONDS + DAY);
        assert_ne!(authority.server_credentials(folder.path(), id, later).unwrap().certificate, first);
    }

    #[test]
    fn a_server_certificate_issued_while_the_clock_was_ahead_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (now, id) = (UnixSeconds::now(), MachineId::random());
        let authority = Authority::open(folder.path(), now).unwrap();
        let ahead = authority.server_credentials(folder.path(), id, now.plus(20 * DAY)).unwrap().certificate;
        let corrected = authority.server_credentials(folder.path(), id, now).unwrap().certificate;
        assert_ne!(ahead, corrected);
        assert!(validity(&corrected).unwrap().contains(now));
    }
}

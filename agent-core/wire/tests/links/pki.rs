//! A test CA like the server's, with machine certificates and revocation lists.

use banyan_proto::MachineId;
use banyan_wire::tls::{Credentials, Crl, machine_name};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A test CA.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: CertificateDer<'static>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), ca }
    }
    /// Returns a machine's credentials; the serial number is derived from its id.
    pub(crate) fn machine(&self, id: MachineId) -> Credentials {
        self.machine_until(id, 2100)
    }
    /// Returns the same with a certificate that expires in that year.
    pub(crate) fn machine_until(&self, id: MachineId, until: i32) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![machine_name(id)]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        params.serial_number = Some(serial(id));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Credentials { certificate, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(), ca: self.ca.clone() }
    }
    /// Returns a revocation list of these machines that expires in that year.
    pub(crate) fn crl(&self, revoked: &[MachineId], until: i32) -> Crl {
        let revoked = revoked.iter().map(|&id| RevokedCertParams {
            serial_number: serial(id),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let der = params.signed_by(&self.issuer).unwrap().der().to_vec();
        Crl::read(der, &self.ca).unwrap()
    }
}

fn serial(id: MachineId) -> SerialNumber {
    SerialNumber::from_slice(&[[1].as_slice(), &id.0[..8]].concat())
}

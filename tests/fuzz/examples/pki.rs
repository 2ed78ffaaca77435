//! A CA like the server's, two machines, a certificate request, and a revocation list that contains the second machine.

use crate::words::machine;
use banyan_proto::MachineId;
use banyan_wire::tls::{SERVER_NAME, machine_name};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

fn serial(id: MachineId) -> SerialNumber {
    SerialNumber::from_slice(&[[1].as_slice(), &id.0[..8]].concat())
}

pub(crate) fn certificates() -> Vec<(&'static str, Vec<u8>)> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&key).expect("a CA").der().to_vec();
    let issuer = Issuer::new(params, key);
    let leaf = |names: &[String], id| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        let request = params.serialize_request(&key).expect("a request").pem().expect("PEM");
        params.serial_number = Some(serial(id));
        (params.signed_by(&key, &issuer).expect("a certificate").der().to_vec(), request.into_bytes())
    };
    let (good, request) = leaf(&[machine_name(machine(1))], machine(1));
    let (revoked, _) = leaf(&[machine_name(machine(2))], machine(2));
    let (server, _) = leaf(&[SERVER_NAME.to_owned(), machine_name(machine(0))], machine(0));
    let on_it = RevokedCertParams {
        serial_number: serial(machine(2)),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2100, 1, 1),
        crl_number: SerialNumber::from(5),
        issuing_distribution_point: None,
        revoked_certs: vec![on_it],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).expect("a list").der().to_vec();
    let followed = [list.as_slice(), b"\x05\x00"].concat();
    vec![
        ("ca.der", ca),
        ("machine.der", good),
        ("revoked.der", revoked),
        ("server.der", server),
        ("request.pem", request),
        ("list.der", list),
        ("list-with-something-behind.der", followed),
    ]
}

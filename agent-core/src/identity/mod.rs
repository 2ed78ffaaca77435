//! This machine's identity: its key (created here, never transmitted), its certificate, and enrolment with a join
//! code.

pub mod epoch;

use crate::{
    database::{Database, Enrolment},
    server::api,
    sideload::standalone,
};
use anyhow::{Context, bail};
use banyan_proto::{Digest, UnixSeconds, api::EnrolRequest, join::JoinCode};
use banyan_trust::TrustStore;
use banyan_wire::tls::{Credentials, valid_until};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{fs, io::Write, net::SocketAddr, path::Path};

/// Returns the program name and version, as reported to others.
#[must_use]
pub fn software() -> String {
    format!("banyan-agent {}", env!("CARGO_PKG_VERSION"))
}

/// Loads the machine's key, or creates it at the first start.
///
/// # Errors
/// When the file cannot be read or written, or is damaged.
pub fn key(path: &Path) -> anyhow::Result<KeyPair> {
    if path.exists() {
        let pem =
            fs::read_to_string(path).with_context(|| format!("cannot read the machine's key {}", path.display()))?;
        return KeyPair::from_pem(&pem)
            .with_context(|| format!("the machine's key {} is damaged; enrol the machine again", path.display()));
    }
    let key = KeyPair::generate().context("cannot create the machine's key")?;
    write_secret(path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// Writes a file that only this user can read. The file is replaced atomically.
///
/// # Errors
/// When the disk fails.
pub fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Creates a certificate request for the machine's key. The server decides the certificate's contents.
///
/// # Errors
/// When the key cannot sign.
pub fn signing_request(key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key).context("cannot create the certificate request")?.pem()?)
}

/// Enrols with a join code. Checks the server's answer against the code, then stores it.
///
/// # Errors
/// When the server cannot be reached, does not match the join code, or refuses it.
pub async fn enrol(
    database: &Database,
    key: &KeyPair,
    code: &JoinCode,
    label: &str,
    addresses: Vec<SocketAddr>,
) -> anyhow::Result<Enrolment> {
    let request = EnrolRequest {
        secret: data_encoding::HEXLOWER.encode(&code.secret),
        csr: signing_request(key)?,
        label: label.to_owned(),
        platform: banyan_proto::platform::platform(),
        addresses,
        software: software(),
    };
    let reply = api::enrol(code, &request).await.context("cannot enrol with the join code")?;
    let ca = CertificateDer::from_pem_slice(reply.ca.as_bytes()).context("the server's CA certificate is damaged")?;
    if Digest::of(&ca) != code.ca {
        bail!("the server's CA does not match the join code; do not use this server");
    }
    let trust = TrustStore::enrol(&reply.root, code.root)
        .context("the server's publisher root does not match the join code")?;
    let trust = standalone::learned(database, &reply.root)?.unwrap_or(trust);
    let enrolment = Enrolment {
        machine: reply.machine,
        certificate: reply.certificate,
        ca: reply.ca,
        server: reply.server,
        server_address: code.server,
        keys: reply.keys,
        epoch: reply.epoch,
    };
    credentials(&enrolment, key)?;
    database.store_trust(&trust)?;
    database.store_enrolment(&enrolment)?;
    Ok(enrolment)
}

/// Returns whether a certificate should be renewed: less than a third of its lifetime is left (rule I7).
#[must_use]
pub fn wants_renewal(certificate: &CertificateDer<'_>, now: UnixSeconds) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    i64::try_from(now.0).is_ok_and(|now| until - now < (until - from) / 3)
}

/// Returns whether a certificate has expired (rule I8).
#[must_use]
pub fn has_expired(certificate: &CertificateDer<'_>, now: UnixSeconds) -> bool {
    valid_until(certificate).is_some_and(|until| until < now)
}

/// Returns this machine's TLS credentials.
///
/// # Errors
/// When the certificate or the key is damaged.
pub fn credentials(enrolment: &Enrolment, key: &KeyPair) -> anyhow::Result<Credentials> {
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

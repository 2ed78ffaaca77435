//! Enrols this machine with a server, with a join code.

use super::api;
use crate::{
    database::{Database, Enrolment},
    identity::{certificate, key},
    platform,
};
use anyhow::{Context, bail};
use banyan_proto::{Address, Digest, api::EnrolRequest, join::JoinCode};
use banyan_trust::TrustStore;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Enrols with a join code. Checks the server's answer against the code, then stores it. Version floors that this
/// machine learnt without a server are carried over (rule N11).
///
/// # Errors
/// When the server cannot be reached, does not match the join code, or refuses it.
pub(crate) async fn enrol(
    database: &Database,
    key: &KeyPair,
    code: &JoinCode,
    label: &str,
    addresses: Vec<Address>,
) -> anyhow::Result<Enrolment> {
    let request = EnrolRequest {
        secret: data_encoding::HEXLOWER.encode(&code.secret),
        csr: key::signing_request(key)?,
        label: label.to_owned(),
        platform: banyan_proto::platform::platform(),
        addresses,
        software: platform::software(),
    };
    let reply = api::enrol(code, &request).await.context("cannot enrol with the join code")?;
    let ca = CertificateDer::from_pem_slice(reply.ca.as_bytes()).context("the server's CA certificate is damaged")?;
    if Digest::of(&ca) != code.ca {
        bail!("the server's CA does not match the join code; do not use this server");
    }
    let trust = TrustStore::enrol(&reply.root, code.root)
        .context("the server's publisher root does not match the join code")?;
    let trust = database.load_personal_trust()?.for_server(&reply.root).unwrap_or(trust);
    let enrolment = Enrolment {
        machine: reply.machine,
        certificate: reply.certificate,
        ca: reply.ca,
        server: reply.server,
        server_addresses: code.servers.clone(),
        keys: reply.keys,
        epoch: reply.epoch,
    };
    certificate::to_credentials(&enrolment, key)?;
    database.store_trust(&trust)?;
    database.store_enrolment(&enrolment)?;
    Ok(enrolment)
}

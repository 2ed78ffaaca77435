//! Enrols this machine with a server, with a join code.

use super::api::{self, CallError};
use crate::{
    database::{Database, Enrolment},
    identity::{certificate, key, server_addresses::ServerAddresses},
    platform,
};
use anyhow::{Context, bail};
use banyan_proto::{
    Digest, Reason,
    api::{EnrolReply, EnrolRequest},
    join::JoinCode,
};
use banyan_trust::TrustStore;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{net::SocketAddr, sync::Arc};

/// Why a machine could not enrol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// It may succeed later: the server does not answer, or is not ready.
    #[error(transparent)]
    Later(CallError),
    /// It never succeeds with this code: the server refused it, or does not match it.
    #[error("cannot enrol with the join code: {0:#}")]
    Final(#[from] anyhow::Error),
}

impl From<CallError> for EnrolError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Away { .. } | CallError::Clock(_) => Self::Later(error),
            CallError::Refused(refusal) if is_temporary(refusal.reason) => Self::Later(CallError::Refused(refusal)),
            CallError::Refused(refusal) => Self::Final(refusal.into()),
        }
    }
}

/// Returns whether a server that refuses an enrolment for this reason may accept it later.
fn is_temporary(reason: Reason) -> bool {
    matches!(reason, Reason::NoRoot | Reason::Busy | Reason::DiskFull | Reason::DiskFailed | Reason::InternalError)
}

/// Enrols with a join code. Checks the server's answer against the code, then stores it. Version floors that this
/// machine learnt without a server are carried over (rule N11).
///
/// # Errors
/// See [`EnrolError`].
pub(crate) async fn enrol(
    database: &Database,
    key: &KeyPair,
    code: &JoinCode,
    label: &str,
    servers: &Arc<ServerAddresses>,
    listen: SocketAddr,
) -> Result<Enrolment, EnrolError> {
    let addresses = platform::reachable_addresses(listen, &code.servers).await;
    let request = EnrolRequest {
        secret: data_encoding::HEXLOWER.encode(&code.secret),
        csr: key::signing_request(key)?,
        label: label.to_owned(),
        platform: banyan_proto::platform::platform(),
        addresses,
        software: platform::software(),
    };
    let reply = api::enrol(code, servers, &request).await?;
    accept_reply(database, key, code, reply).map_err(EnrolError::Final)
}

/// Checks the server's answer against the code, then stores it.
fn accept_reply(database: &Database, key: &KeyPair, code: &JoinCode, reply: EnrolReply) -> anyhow::Result<Enrolment> {
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

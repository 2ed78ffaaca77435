//! Enrolment and renewal: how a machine gets its identity, and keeps it (rules I2, I3, I7).

use crate::{
    nms::Nms,
    refusal::Refusal,
    registry::reachable,
    store::{CertificateRow, Enrolled, MachineRow},
};
use axum::http::StatusCode;
use banyan_proto::{
    Digest, MachineId, Reason,
    api::{EnrolReply, EnrolRequest, RenewReply, RenewRequest},
    limits,
};
use data_encoding::HEXLOWER;
use std::net::IpAddr;
use tracing::{error, info};

/// Refuses texts that would not fit a table or a log line.
pub(crate) fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.is_empty() || text.len() > limits::LABEL_BYTES || text.chars().any(char::is_control) {
        let most = limits::LABEL_BYTES;
        return Err(Refusal::bad(format!("the {what} must have 1 to {most} bytes and no control characters")));
    }
    Ok(())
}

impl Nms {
    /// A new identity for a machine that shows a join secret. A label that is taken already takes nothing away from
    /// the machine that has it: identities are never found by label.
    pub(crate) async fn enrol(&self, request: EnrolRequest, from: IpAddr) -> Result<EnrolReply, Refusal> {
        let Some(root) = self.desk.shown().first_root else {
            let detail = "nothing enrols before the publishers' root is registered; run `banyan keys init` first";
            return Err(Refusal::conflict(Reason::NoRoot, detail));
        };
        check_text("label", &request.label)?;
        check_text("platform", &request.platform)?;
        check_text("software", &request.software)?;
        let refused = |detail| Refusal::new(StatusCode::FORBIDDEN, Reason::JoinRefused, detail);
        let secret = HEXLOWER
            .decode(request.secret.as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
            .ok_or_else(|| refused("the join code's secret is not one"))?;
        let now = Self::now();
        let machine = MachineId::random();
        let issued = self.authority.machine(&request.csr, machine, now)?;
        let mut row = MachineRow {
            id: machine,
            label: request.label,
            group: None,
            platform: request.platform,
            software: request.software,
            addresses: reachable(&request.addresses, from),
            enrolled: now,
            seen: now,
            revoked: None,
            aside: None,
            replaced_by: None,
        };
        let certificate = CertificateRow { serial: issued.serial, machine, issued: now, expires: issued.expires };
        let retired = match self.store.enrol(Digest::of(&secret), &row, &certificate).await? {
            Enrolled::Done { group, retired } => {
                row.group = group;
                retired
            }
            Enrolled::Unknown => return Err(refused("nobody made this join code, or for another server")),
            Enrolled::UsedUp => return Err(refused("as many machines as the join code was for have joined with it")),
            Enrolled::Expired => return Err(refused("the join code has expired")),
        };
        info!(%machine, label = row.label, "enrolled");
        self.registry.add(row, &self.secrets.orders);
        if let Some(old) = retired {
            info!(machine = %old, %machine, "retired: another identity takes its place");
            // The new machine is in whatever becomes of this: the secret has been used up for it.
            if let Err(refusal) = self.shut_out(old, Some(machine)).await {
                error!(machine = %old, "a retired machine is not on the revocation list yet: {refusal}");
            }
        }
        Ok(EnrolReply {
            machine,
            certificate: issued.pem,
            ca: self.authority.pem().to_owned(),
            server: self.id,
            keys: self.secrets.ring(),
            epoch: self.epoch,
            root: root.to_string(),
        })
    }

    /// A new certificate for the identity that asks with its last one, expired or not (rules I7, I8).
    pub(crate) async fn renew(&self, machine: MachineId, request: &RenewRequest) -> Result<RenewReply, Refusal> {
        let now = Self::now();
        let issued = self.authority.machine(&request.csr, machine, now)?;
        let row = CertificateRow { serial: issued.serial, machine, issued: now, expires: issued.expires };
        if !self.store.add_certificate(&row).await? {
            return Err(Refusal::forbidden(Reason::Revoked, "this machine has been revoked"));
        }
        info!(%machine, "certificate renewed");
        Ok(RenewReply { certificate: issued.pem })
    }
}

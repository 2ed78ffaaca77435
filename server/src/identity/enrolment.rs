//! Enrolment and certificate renewal for machines (rules I2, I3, I7).

use crate::{
    identity::{
        ca::Authority,
        registry::{Registry, reachable_addresses},
        revocation::Revocation,
        secrets::Secrets,
    },
    refusal::Refusal,
    store::{
        Assigned, CertificateRow, EnrolmentOutcome, KnownReach, MachineRow, NewEnrolment, ServerIdentity, Store,
        TokenRow,
    },
};
use axum::http::StatusCode;
use banyan_proto::{
    Digest, KnownRates, MachineId, Reason, UnixSeconds,
    admin::{NewToken, OpenToken, TokenCreated},
    api::{EnrolReply, EnrolRequest, RenewReply, RenewRequest},
    limits, text,
};
use data_encoding::HEXLOWER;
use std::{net::IpAddr, sync::Arc};
use tracing::{error, info};

/// Rejects a text that is empty, blank, too long for a table or log line, or contains hidden characters.
pub(crate) fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.len() > limits::LABEL_BYTES || text::has_hidden(text) {
        let most = limits::LABEL_BYTES;
        return Err(Refusal::bad(format!(
            "the {what} must be 1 to {most} bytes long, and have no control characters, zero-width characters or marks \
             that change the writing direction"
        )));
    }
    Ok(())
}

/// Rejects what [`check_text`] rejects, and white space at the ends, with which two names would look alike. `what` says
/// what has the name.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    check_text(what, name)?;
    if name.trim() == name {
        Ok(())
    } else {
        Err(Refusal::bad(format!("the {what} {name:?} begins or ends with a space")))
    }
}

/// Creates join secrets, enrols machines and renews their certificates.
pub(crate) struct Enrolment {
    pub(crate) server: ServerIdentity,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) revocation: Arc<Revocation>,
}

impl Enrolment {
    /// Creates a join secret.
    pub(crate) async fn create_token(&self, wanted: &NewToken) -> Result<TokenCreated, Refusal> {
        if wanted.uses == 0 || wanted.uses > limits::TOKEN_USES || wanted.expires_seconds == 0 {
            return Err(Refusal::bad("a join secret needs a valid number of uses and a lifetime above zero"));
        }
        if let Some(group) = &wanted.group {
            check_name("group", group)?;
        }
        if let Some(old) = wanted.replaces {
            if wanted.uses != 1 {
                return Err(Refusal::bad("a join secret that replaces a machine can have one use only"));
            }
            if self.registry.get(old).is_none() {
                return Err(Refusal::not_found(format!("there is no machine {old} to replace")));
            }
        }
        let secret = MachineId::random();
        let created = UnixSeconds::now();
        let expires = created.plus(wanted.expires_seconds);
        let (hash, group) = (Digest::of(&secret.0), wanted.group.as_deref());
        let (uses, replaces) = (wanted.uses, wanted.replaces);
        self.store.add_token(TokenRow { hash, uses, created, expires, group, replaces }).await?;
        Ok(TokenCreated { secret: secret.to_string().into() })
    }

    /// Lists the join secrets that machines can still enrol with.
    pub(crate) async fn open_tokens(&self) -> Result<Vec<OpenToken>, Refusal> {
        Ok(self.store.open_tokens(UnixSeconds::now()).await?)
    }

    /// Revokes a join secret. Machines that have enrolled with it stay enrolled.
    pub(crate) async fn revoke_token(&self, id: Digest) -> Result<(), Refusal> {
        if !self.store.revoke_token(id, UnixSeconds::now()).await? {
            return Err(Refusal::not_found(format!("there is no join code with the id {id}")));
        }
        info!(token = %id, "join code revoked");
        Ok(())
    }

    /// Creates a new identity for a machine that presents a join secret. A label that is already in use does not affect
    /// the machine that has it: identities are never looked up by label.
    /// `first_root` is the publishers' first root of trust, which the machine will believe.
    ///
    /// A machine whose answer was lost asks again with the same secret and key. It gets the same identity and
    /// certificate, and no further use is counted. This ends with its first check-in, which shows that it has the answer.
    /// Computers that were copied together with their key get identities of their own.
    pub(crate) async fn enrol(
        &self,
        request: EnrolRequest,
        from: IpAddr,
        first_root: Option<Arc<str>>,
    ) -> Result<EnrolReply, Refusal> {
        let Some(root) = first_root else {
            let detail = "no machine can enrol until a root of trust is registered; run `banyan keys init` first";
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
            .ok_or_else(|| refused("the join code's secret is malformed"))?;
        let now = UnixSeconds::now();
        let machine = MachineId::random();
        let issued = self.authority.issue_machine_certificate(&request.csr, machine, now)?;
        let mut row = MachineRow {
            id: machine,
            label: request.label,
            assigned: Assigned::default(),
            platform: request.platform,
            software: request.software,
            addresses: reachable_addresses(&request.addresses, from),
            enrolled: now,
            seen: now,
            revoked: None,
            quarantined: None,
            replaced_by: None,
            rates: KnownRates::default(),
            reach: KnownReach::default(),
        };
        let certificate = CertificateRow { serial: issued.serial, machine, issued: now, expires: issued.expires };
        let secret = Digest::of(&secret);
        let new = NewEnrolment { secret, key: issued.key, row: &row, certificate: &certificate, pem: &issued.pem };
        let retired = match self.store.enrol(new).await? {
            EnrolmentOutcome::Enrolled { assigned, retired } => {
                row.assigned = assigned;
                retired
            }
            EnrolmentOutcome::Repeated { machine, pem } => {
                if let Some(reason) = self.registry.exclusion(machine) {
                    return Err(Refusal::excluded(reason));
                }
                info!(%machine, "the answer to this machine's enrolment was lost and is sent again");
                return Ok(self.reply(machine, pem, &root));
            }
            EnrolmentOutcome::UnknownSecret => {
                return Err(refused("this join code is unknown here; it may be for another server"));
            }
            EnrolmentOutcome::UsedUp => {
                return Err(refused("the join code has been used by as many machines as it allows"));
            }
            EnrolmentOutcome::Revoked => return Err(refused("an administrator has revoked this join code")),
            EnrolmentOutcome::Expired => return Err(refused("the join code has expired")),
        };
        info!(%machine, label = row.label, "machine enrolled");
        self.registry.add(row, &self.secrets.orders);
        if let Some(old) = retired {
            info!(machine = %old, %machine, "machine retired: replaced by a new identity");
            // The new machine stays enrolled even if this fails: its secret is used up.
            if let Err(refusal) = self.revocation.carry_out(old, Some(machine)).await {
                error!(machine = %old, "failed to put a retired machine on the revocation list: {refusal}");
            }
        }
        Ok(self.reply(machine, issued.pem, &root))
    }

    fn reply(&self, machine: MachineId, certificate: String, root: &str) -> EnrolReply {
        EnrolReply {
            machine,
            certificate,
            ca: self.authority.pem().to_owned(),
            server: self.server.id,
            keys: self.secrets.key_ring(),
            epoch: self.server.epoch,
            root: root.to_owned(),
        }
    }

    /// Issues a new certificate for a machine that authenticates with its last one, expired or not (rules I7, I8).
    pub(crate) async fn renew(&self, machine: MachineId, request: &RenewRequest) -> Result<RenewReply, Refusal> {
        let now = UnixSeconds::now();
        let issued = self.authority.issue_machine_certificate(&request.csr, machine, now)?;
        let row = CertificateRow { serial: issued.serial, machine, issued: now, expires: issued.expires };
        if !self.store.add_certificate(&row).await? {
            return Err(Refusal::forbidden(Reason::Revoked, "this machine has been revoked"));
        }
        info!(%machine, "certificate renewed");
        Ok(RenewReply { certificate: issued.pem })
    }
}

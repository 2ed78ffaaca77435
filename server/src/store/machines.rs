//! Machines, certificates, join secrets and counters in SQLite.

use super::{
    Assigned, CertificateRow, Counter, DatabaseAge, EnrolmentOutcome, MachineRow, MachineStore, NewEnrolment, NewEvent,
    PolicyChange, RaisedEpoch, RevokedCertificate, ServerIdentity, StoreResult, Suspicion, TokenRow,
    events::insert_event,
    orders::end_with_deployment,
    selections::{assigned, groups_of_machines, read_assigned, tags_of_machines, write_assigned},
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use aws_lc_rs::constant_time;
use banyan_proto::{
    DeploymentId, Digest, MachineId, Reason, UnixSeconds,
    admin::{DeploymentState, OpenToken},
    server_events::EventKind,
};
use sqlx::{Row as _, SqliteConnection, query, sqlite::SqliteRow};

async fn insert_certificate(to: &mut SqliteConnection, row: &CertificateRow) -> StoreResult<()> {
    query("INSERT INTO certificates (serial, machine, issued, expires) VALUES (?, ?, ?, ?)")
        .bind(&row.serial)
        .bind(row.machine.0.as_slice())
        .bind(signed(row.issued.0))
        .bind(signed(row.expires.0))
        .execute(to)
        .await?;
    Ok(())
}

/// Ends a machine's part in all deployments, because another was enrolled in its place. Returns what it was assigned.
async fn retire(
    tx: &mut SqliteConnection,
    old: MachineId,
    new: MachineId,
    now: UnixSeconds,
) -> StoreResult<Option<Assigned>> {
    let found = query(
        "UPDATE machines SET revoked = COALESCE(revoked, ?), replaced_by = COALESCE(replaced_by, ?) WHERE id = ?",
    )
    .bind(signed(now.0))
    .bind(new.0.as_slice())
    .bind(old.0.as_slice())
    .execute(&mut *tx)
    .await?;
    if found.rows_affected() == 0 {
        return Ok(None);
    }
    let open = query(
        "UPDATE addressees SET stage = 'failed', reason = ?, detail = ? WHERE machine = ? \
         AND stage NOT IN ('installed', 'failed') RETURNING order_id",
    )
    .bind(enum_text(&Reason::Retired)?)
    .bind(format!("machine {} was enrolled to replace it", new.short()))
    .bind(old.0.as_slice())
    .fetch_all(&mut *tx)
    .await?;
    for row in &open {
        end_with_deployment(tx, Columns(row).order("order_id")?, DeploymentState::Finished).await?;
    }
    assigned(tx, old).await.map(Some)
}

/// Returns the answer to an earlier request with this secret and this key, if its machine has not checked in since.
async fn earlier_answer(
    tx: &mut SqliteConnection,
    secret: Digest,
    key: Digest,
) -> StoreResult<Option<EnrolmentOutcome>> {
    let found = query("SELECT id, join_certificate FROM machines WHERE join_secret = ? AND join_key = ?")
        .bind(secret.0.as_slice())
        .bind(key.0.as_slice())
        .fetch_optional(tx)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let columns = Columns(&found);
    let (machine, pem) = (columns.machine("id")?, columns.text("join_certificate")?);
    Ok(Some(EnrolmentOutcome::Repeated { machine, pem }))
}

/// Ends the part of revoked machines in all open deployments: nothing comes from them any more. Returns the deployments
/// that end because of this.
pub(super) async fn end_revoked(tx: &mut SqliteConnection) -> StoreResult<Vec<DeploymentId>> {
    let open = query(
        "UPDATE addressees SET stage = 'failed', reason = ?, detail = ? WHERE stage NOT IN ('installed', 'failed') \
         AND order_id IN (SELECT id FROM orders WHERE state = 'open') \
         AND machine IN (SELECT id FROM machines WHERE revoked IS NOT NULL) RETURNING order_id",
    )
    .bind(enum_text(&Reason::Revoked)?)
    .bind("the machine was revoked before it had installed the release")
    .fetch_all(&mut *tx)
    .await?;
    let mut ended = Vec::new();
    for row in &open {
        let id = Columns(row).order("order_id")?;
        ended.extend(end_with_deployment(tx, id, DeploymentState::Finished).await?);
    }
    Ok(ended)
}

#[async_trait]
impl MachineStore for Sqlite {
    async fn age(&self) -> StoreResult<DatabaseAge> {
        let row = query("SELECT crl_number FROM server").fetch_optional(&mut *self.reader().await?).await?;
        // The first start signs its first revocation list when everything else has been created.
        row.map_or(Ok(DatabaseAge::Empty), |row| match Columns(&row).number("crl_number")? {
            0 => Ok(DatabaseAge::Begun),
            _ => Ok(DatabaseAge::InUse),
        })
    }

    async fn identity(&self) -> StoreResult<ServerIdentity> {
        let mut tx = self.begin().await?;
        query("INSERT OR IGNORE INTO server (one, id, epoch, order_number, crl_number) VALUES (1, ?, 1, 0, 0)")
            .bind(MachineId::random().0.as_slice())
            .execute(&mut *tx)
            .await?;
        let row = query("SELECT id, epoch FROM server").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        let columns = Columns(&row);
        Ok(ServerIdentity { id: columns.machine("id")?, epoch: columns.number("epoch")? })
    }

    async fn raise_epoch(&self, now: UnixSeconds) -> StoreResult<RaisedEpoch> {
        let mut tx = self.begin().await?;
        let row = query("SELECT epoch, crl_number, policy_number, stop_number FROM server").fetch_one(&mut *tx).await?;
        let from = Columns(&row).number("epoch")?;
        // It is unknown how far the lost server had counted, and how often this backup has been restored. The clock is
        // above both, because epochs rise only with restores, and list numbers a few times a day.
        let above = |number: u64| now.0.max(number + 1);
        let (to, crl_number) = (above(from), above(Columns(&row).number("crl_number")?));
        // The restored policies must count as newer than any that machines received since the backup.
        let policy_number = above(Columns(&row).number("policy_number")?);
        let stop_number = above(Columns(&row).number("stop_number")?);
        query("UPDATE server SET epoch = ?, crl_number = ?, policy_number = ?, stop_number = ?")
            .bind(signed(to))
            .bind(signed(crl_number))
            .bind(signed(policy_number))
            .bind(signed(stop_number))
            .execute(&mut *tx)
            .await?;
        query("INSERT OR IGNORE INTO policies (grp, number, at) VALUES ('', 0, 0)").execute(&mut *tx).await?;
        query("UPDATE policies SET number = ?").bind(signed(policy_number)).execute(&mut *tx).await?;
        query(
            "UPDATE addressees SET stage = 'failed', reason = ?, detail = NULL WHERE stage NOT IN ('installed', 'failed') \
             AND order_id IN (SELECT id FROM orders WHERE state = 'open')",
        )
        .bind(enum_text(&Reason::EpochBack)?)
        .execute(&mut *tx)
        .await?;
        query("UPDATE orders SET state = 'over'").execute(&mut *tx).await?;
        // Machines refuse the orders that it made so far, and it must not make others that nobody remembers.
        query("UPDATE deployments SET is_live = 0").execute(&mut *tx).await?;
        let ended = query("UPDATE deployments SET state = ? WHERE state IN ('running', 'halted') RETURNING id")
            .bind(enum_text(&DeploymentState::Finished)?)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(RaisedEpoch { from, to, ended: ended.len() })
    }

    async fn next(&self, counter: Counter) -> StoreResult<u64> {
        let sql = match counter {
            Counter::Order => "UPDATE server SET order_number = order_number + 1 RETURNING order_number AS number",
            Counter::Stop => "UPDATE server SET stop_number = stop_number + 1 RETURNING stop_number AS number",
            Counter::Crl => "UPDATE server SET crl_number = crl_number + 1 RETURNING crl_number AS number",
        };
        let row = query(sql).fetch_one(&mut *self.writer().await?).await?;
        Columns(&row).number("number")
    }

    async fn remembered_time(&self) -> StoreResult<Option<UnixSeconds>> {
        let row = query("SELECT remembered_time FROM server").fetch_one(&mut *self.reader().await?).await?;
        Ok(Columns(&row).optional_number("remembered_time")?.map(UnixSeconds))
    }

    async fn remember_time(&self, time: UnixSeconds) -> StoreResult<()> {
        query("UPDATE server SET remembered_time = ?").bind(signed(time.0)).execute(&mut *self.writer().await?).await?;
        Ok(())
    }

    async fn machines(&self) -> StoreResult<Vec<MachineRow>> {
        let mut reader = self.reader().await?;
        let rows = query("SELECT * FROM machines ORDER BY enrolled, id").fetch_all(&mut *reader).await?;
        let (mut groups, mut tags) = (groups_of_machines(&mut reader).await?, tags_of_machines(&mut reader).await?);
        let read = |row| {
            let columns = Columns(row);
            let id = columns.machine("id")?;
            Ok(MachineRow {
                id,
                label: columns.text("label")?,
                assigned: Assigned {
                    groups: groups.remove(&id).unwrap_or_default(),
                    tags: tags.remove(&id).unwrap_or_default(),
                    ..read_assigned(&columns)?
                },
                platform: columns.text("platform")?,
                software: columns.text("software")?,
                addresses: columns.json("addresses")?,
                enrolled: columns.time("enrolled")?,
                seen: columns.time("seen")?,
                revoked: columns.optional_number("revoked")?.map(UnixSeconds),
                quarantined: columns.optional_enum_value("aside")?,
                replaced_by: columns.optional_machine("replaced_by")?,
                rates: columns.optional_json("rates")?.unwrap_or_default(),
                reach: columns.optional_json("reach")?.unwrap_or_default(),
            })
        };
        rows.iter().map(read).collect()
    }

    async fn add_token(&self, token: TokenRow<'_>) -> StoreResult<()> {
        query("INSERT INTO tokens (hash, uses_left, created, expires, grp, replaces) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(token.hash.0.as_slice())
            .bind(i64::from(token.uses))
            .bind(signed(token.created.0))
            .bind(signed(token.expires.0))
            .bind(token.group)
            .bind(token.replaces.map(|id| id.0.to_vec()))
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn open_tokens(&self, now: UnixSeconds) -> StoreResult<Vec<OpenToken>> {
        let rows = query(
            "SELECT hash, uses_left, created, expires, grp, replaces FROM tokens \
             WHERE uses_left > 0 AND expires > ? AND revoked IS NULL ORDER BY expires, hash",
        )
        .bind(signed(now.0))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row: &SqliteRow| {
            let columns = Columns(row);
            Ok(OpenToken {
                id: columns.digest("hash")?,
                created: columns.optional_number("created")?.map(UnixSeconds),
                expires: columns.time("expires")?,
                uses_left: columns.small("uses_left")?,
                group: columns.optional_text("grp")?,
                replaces: columns.optional_machine("replaces")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn revoke_token(&self, hash: Digest, now: UnixSeconds) -> StoreResult<bool> {
        let done = query("UPDATE tokens SET revoked = COALESCE(revoked, ?) WHERE hash = ?")
            .bind(signed(now.0))
            .bind(hash.0.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn enrol(&self, new: NewEnrolment<'_>) -> StoreResult<EnrolmentOutcome> {
        let NewEnrolment { secret, key, row, certificate, pem } = new;
        let mut tx = self.begin().await?;
        let token = query("SELECT hash, uses_left, expires, revoked, grp, replaces FROM tokens WHERE hash = ?")
            .bind(secret.0.as_slice())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(token) = token else { return Ok(EnrolmentOutcome::UnknownSecret) };
        // Looked up by the secret's hash, which cannot be chosen; compared again in constant time.
        let hash: Vec<u8> = token.try_get("hash")?;
        if constant_time::verify_slices_are_equal(&hash, &secret.0).is_err() {
            return Ok(EnrolmentOutcome::UnknownSecret);
        }
        let columns = Columns(&token);
        if columns.optional_number("revoked")?.is_some() {
            return Ok(EnrolmentOutcome::Revoked);
        }
        if columns.time("expires")? <= row.enrolled {
            return Ok(EnrolmentOutcome::Expired);
        }
        if let Some(repeated) = earlier_answer(&mut tx, secret, key).await? {
            return Ok(repeated);
        }
        if columns.number("uses_left")? == 0 {
            return Ok(EnrolmentOutcome::UsedUp);
        }
        let (mut assigned, mut retired) = (Assigned::default(), None);
        if let Some(old) = columns.optional_machine("replaces")?
            && let Some(its_own) = retire(&mut tx, old, row.id, row.enrolled).await?
        {
            // The new machine has seen no policy.
            (assigned, retired) = (Assigned { policy: PolicyChange::default(), ..its_own }, Some(old));
        }
        if let Some(group) = columns.optional_text("grp")? {
            assigned.groups = vec![group];
        }
        query("UPDATE tokens SET uses_left = uses_left - 1 WHERE hash = ?")
            .bind(secret.0.as_slice())
            .execute(&mut *tx)
            .await?;
        query(
            "INSERT INTO machines (id, label, platform, software, addresses, enrolled, seen, join_secret, join_key, \
             join_certificate) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id.0.as_slice())
        .bind(&row.label)
        .bind(&row.platform)
        .bind(&row.software)
        .bind(json(&row.addresses)?)
        .bind(signed(row.enrolled.0))
        .bind(signed(row.seen.0))
        .bind(secret.0.as_slice())
        .bind(key.0.as_slice())
        .bind(pem)
        .execute(&mut *tx)
        .await?;
        write_assigned(&mut tx, row.id, &assigned).await?;
        insert_certificate(&mut tx, certificate).await?;
        let enrolled = NewEvent { machine: Some(row.id), ..NewEvent::of(EventKind::MachineEnrolled) };
        insert_event(&mut tx, &enrolled).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(EnrolmentOutcome::Enrolled { assigned, retired })
    }

    async fn update_machines(&self, rows: &[MachineRow]) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        for row in rows {
            query(
                "UPDATE machines SET label = ?, software = ?, addresses = ?, seen = ?, rates = ?, reach = ?, \
                 join_secret = NULL, join_key = NULL, join_certificate = NULL WHERE id = ?",
            )
            .bind(&row.label)
            .bind(&row.software)
            .bind(json(&row.addresses)?)
            .bind(signed(row.seen.0))
            .bind(if row.rates.is_empty() { None } else { Some(json(&row.rates)?) })
            .bind(if row.reach.is_empty() { None } else { Some(json(&row.reach)?) })
            .bind(row.id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }

    async fn add_certificate(&self, certificate: &CertificateRow) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        let machine = query("SELECT revoked FROM machines WHERE id = ?")
            .bind(certificate.machine.0.as_slice())
            .fetch_optional(&mut *tx)
            .await?;
        let Some(machine) = machine else { return Ok(false) };
        if Columns(&machine).optional_number("revoked")?.is_some() {
            return Ok(false);
        }
        insert_certificate(&mut tx, certificate).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn revoke(&self, machine: MachineId, now: UnixSeconds) -> StoreResult<Option<Vec<DeploymentId>>> {
        let mut tx = self.begin().await?;
        let done = query("UPDATE machines SET revoked = COALESCE(revoked, ?) WHERE id = ?")
            .bind(signed(now.0))
            .bind(machine.0.as_slice())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let ended = end_revoked(&mut tx).await?;
        let revoked = NewEvent { machine: Some(machine), ..NewEvent::of(EventKind::MachineRevoked) };
        insert_event(&mut tx, &revoked).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(Some(ended))
    }

    async fn check_writable(&self) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        query("UPDATE server SET remembered_time = remembered_time").execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn set_quarantine(&self, machine: MachineId, reason: Option<Reason>) -> StoreResult<()> {
        query("UPDATE machines SET aside = ? WHERE id = ?")
            .bind(reason.map(Reason::code))
            .bind(machine.0.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn revoked_certificates(&self) -> StoreResult<Vec<RevokedCertificate>> {
        let rows = query(
            "SELECT serial, revoked FROM certificates JOIN machines ON machines.id = certificates.machine \
             WHERE revoked IS NOT NULL ORDER BY serial",
        )
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row: &SqliteRow| {
            Ok(RevokedCertificate { serial: row.try_get("serial")?, since: Columns(row).time("revoked")? })
        };
        rows.iter().map(read).collect()
    }

    async fn add_suspicion(&self, suspicion: &Suspicion) -> StoreResult<()> {
        query("INSERT INTO suspicions (at, machine, order_id, reason, detail) VALUES (?, ?, ?, ?, ?)")
            .bind(signed(suspicion.at.0))
            .bind(suspicion.machine.map(|id| id.0.to_vec()))
            .bind(suspicion.order.map(|id| id.0.to_vec()))
            .bind(enum_text(&suspicion.reason)?)
            .bind(&suspicion.detail)
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn suspicions(&self, most: u32) -> StoreResult<Vec<Suspicion>> {
        let rows = query(
            "SELECT at, machine, order_id, orders.deployment AS deployment, reason, detail FROM suspicions \
             LEFT JOIN orders ON orders.id = order_id ORDER BY suspicions.id DESC LIMIT ?",
        )
        .bind(most)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row: &SqliteRow| {
            let columns = Columns(row);
            Ok(Suspicion {
                at: columns.time("at")?,
                machine: columns.optional_machine("machine")?,
                order: columns.optional_order("order_id")?,
                deployment: columns.optional_deployment("deployment")?,
                reason: columns.enum_value("reason")?,
                detail: columns.text("detail")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn forget(&self, before: UnixSeconds) -> StoreResult<()> {
        for sql in [
            "DELETE FROM reports WHERE received < ?",
            "DELETE FROM suspicions WHERE at < ?",
            "DELETE FROM tokens WHERE expires < ?",
        ] {
            query(sql).bind(signed(before.0)).execute(&mut *self.writer().await?).await?;
        }
        Ok(())
    }
}

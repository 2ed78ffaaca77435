//! Progress, receipts and reports in SQLite.

use super::{
    AddresseeRow, ApplyEvent, ApplyReceipt, ArrivedReport, NewEvent, NewReceipt, OrderRow, ProgressNote, ProgressStore,
    ReleaseEvidence, StoreResult,
    events::insert_event,
    orders::end_with_deployment,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    DeploymentId, MachineId, OrderId, Reason, Receipt, Signed, UnixSeconds,
    admin::{DeploymentState, Stage},
    server_events::EventKind,
};
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};

pub(super) fn read_addressee(row: &SqliteRow) -> StoreResult<AddresseeRow> {
    let columns = Columns(row);
    Ok(AddresseeRow {
        machine: columns.machine("machine")?,
        stage: columns.enum_value("stage")?,
        held: columns.small("held")?,
        reason: columns.optional_enum_value("reason")?,
        detail: columns.optional_text("detail")?,
        sources: columns.json("sources")?,
        verified_after: columns.optional_number("verified_after")?,
        installed_after: columns.optional_number("installed_after")?,
        permitted: columns.optional_number("permitted")?.map(UnixSeconds),
        had_it: columns.flag("already")?,
        ended: columns.optional_number("ended")?.map(UnixSeconds),
    })
}

pub(super) async fn insert_addressee(
    to: &mut SqliteConnection,
    id: OrderId,
    position: usize,
    row: &AddresseeRow,
) -> StoreResult<()> {
    query(
        "INSERT INTO addressees (order_id, machine, position, stage, held, reason, detail, sources) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0.as_slice())
    .bind(row.machine.0.as_slice())
    .bind(signed(position as u64))
    .bind(enum_text(&row.stage)?)
    .bind(i64::from(row.held))
    .bind(row.reason.map(Reason::code))
    .bind(&row.detail)
    .bind(json(&row.sources)?)
    .execute(to)
    .await?;
    Ok(())
}

async fn find(from: &mut SqliteConnection, id: OrderId, machine: MachineId) -> StoreResult<Option<AddresseeRow>> {
    let row = query("SELECT * FROM addressees WHERE order_id = ? AND machine = ?")
        .bind(id.0.as_slice())
        .bind(machine.0.as_slice())
        .fetch_optional(from)
        .await?;
    row.as_ref().map(read_addressee).transpose()
}

async fn write(to: &mut SqliteConnection, id: OrderId, row: &AddresseeRow) -> StoreResult<()> {
    query(
        "UPDATE addressees SET stage = ?, held = ?, reason = ?, detail = ?, sources = ?, verified_after = ?, \
         installed_after = ?, permitted = ?, already = ?, ended = ? WHERE order_id = ? AND machine = ?",
    )
    .bind(enum_text(&row.stage)?)
    .bind(i64::from(row.held))
    .bind(row.reason.map(Reason::code))
    .bind(&row.detail)
    .bind(json(&row.sources)?)
    .bind(row.verified_after.map(signed))
    .bind(row.installed_after.map(signed))
    .bind(row.permitted.map(|at| signed(at.0)))
    .bind(row.had_it)
    .bind(row.ended.map(|at| signed(at.0)))
    .bind(id.0.as_slice())
    .bind(row.machine.0.as_slice())
    .execute(to)
    .await?;
    Ok(())
}

/// Stores the event that tells of a machine's end, if its part ended just now. Returns whether it did.
async fn record_end(tx: &mut SqliteConnection, order: OrderId, before: Stage, row: &AddresseeRow) -> StoreResult<bool> {
    let kind = match row.stage {
        Stage::Installed if before != Stage::Installed => EventKind::MachineInstalled,
        Stage::Failed if before != Stage::Failed => EventKind::MachineFailed,
        _ => return Ok(false),
    };
    let found =
        query("SELECT deployment FROM orders WHERE id = ?").bind(order.0.as_slice()).fetch_one(&mut *tx).await?;
    let deployment = Columns(&found).deployment("deployment")?;
    let (reason, detail) = (row.reason, row.detail.clone().unwrap_or_default());
    let event = NewEvent { machine: Some(row.machine), reason, detail, ..NewEvent::of_deployment(kind, deployment) };
    insert_event(tx, &event).await?;
    Ok(true)
}

#[async_trait]
impl ProgressStore for Sqlite {
    async fn addressee(&self, id: OrderId, machine: MachineId) -> StoreResult<Option<AddresseeRow>> {
        find(&mut *self.reader().await?, id, machine).await
    }

    async fn expected(&self, machine: MachineId) -> StoreResult<Vec<OrderId>> {
        let rows = query(
            "SELECT order_id FROM addressees JOIN orders ON orders.id = addressees.order_id \
             WHERE machine = ? AND stage NOT IN ('installed', 'failed') AND state = 'open' ORDER BY number",
        )
        .bind(machine.0.as_slice())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Columns(row).order("order_id")).collect()
    }

    async fn unfinished(&self) -> StoreResult<Vec<(OrderId, AddresseeRow)>> {
        let rows = query(
            "SELECT addressees.* FROM addressees JOIN orders ON orders.id = addressees.order_id \
             JOIN deployments ON deployments.id = orders.deployment WHERE orders.state = 'open' \
             AND deployments.state = 'running' AND stage NOT IN ('installed', 'failed') \
             ORDER BY orders.number, position",
        )
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Ok((Columns(row).order("order_id")?, read_addressee(row)?))).collect()
    }

    async fn holders(&self, id: OrderId, limit: u32) -> StoreResult<Vec<MachineId>> {
        let rows = query(
            "SELECT machine FROM addressees WHERE order_id = ? AND verified_after IS NOT NULL \
             ORDER BY verified_after DESC LIMIT ?",
        )
        .bind(id.0.as_slice())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Columns(row).machine("machine")).collect()
    }

    async fn store_reports(
        &self,
        machine: MachineId,
        reports: &[ArrivedReport],
        now: UnixSeconds,
        apply: ApplyEvent,
    ) -> StoreResult<Vec<DeploymentId>> {
        let mut tx = self.begin().await?;
        let (mut finished, mut has_event) = (Vec::new(), false);
        for ArrivedReport { report, after_ms } in reports {
            let fresh = query(
                "INSERT OR IGNORE INTO reports (machine, number, at, received, order_id, event) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(machine.0.as_slice())
            .bind(signed(report.number))
            .bind(signed(report.at.0))
            .bind(signed(now.0))
            .bind(report.order.map(|id| id.0.to_vec()))
            .bind(json(&report.event)?)
            .execute(&mut *tx)
            .await?;
            let Some(id) = report.order.filter(|_| fresh.rows_affected() > 0) else { continue };
            let Some(mut row) = find(&mut tx, id, machine).await? else { continue };
            let before = row.stage;
            if !apply(&mut row, &report.event, *after_ms) {
                continue;
            }
            if row.is_over() && (row.stage != before || row.ended.is_none()) {
                row.ended = Some(now);
            }
            write(&mut tx, id, &row).await?;
            has_event |= record_end(&mut tx, id, before, &row).await?;
            if row.is_over() {
                finished.extend(end_with_deployment(&mut tx, id, DeploymentState::Finished).await?);
            }
        }
        tx.commit().await?;
        if has_event {
            self.announce_event();
        }
        Ok(finished)
    }

    async fn store_receipt(&self, new: NewReceipt<'_>, apply: ApplyReceipt) -> StoreResult<Signed<Receipt>> {
        let NewReceipt { receipt, signed: signed_receipt, sources, after_ms } = new;
        let mut tx = self.begin().await?;
        query("INSERT OR IGNORE INTO receipts (order_id, machine, issued, signed) VALUES (?, ?, ?, ?)")
            .bind(receipt.order.0.as_slice())
            .bind(receipt.machine.0.as_slice())
            .bind(signed(receipt.issued.0))
            .bind(json(signed_receipt)?)
            .execute(&mut *tx)
            .await?;
        let valid = query("SELECT signed FROM receipts WHERE order_id = ? AND machine = ?")
            .bind(receipt.order.0.as_slice())
            .bind(receipt.machine.0.as_slice())
            .fetch_one(&mut *tx)
            .await?;
        if let Some(mut row) = find(&mut tx, receipt.order, receipt.machine).await?
            && apply(&mut row, sources, after_ms)
        {
            write(&mut tx, receipt.order, &row).await?;
        }
        tx.commit().await?;
        Columns(&valid).json("signed")
    }

    async fn receipt(&self, id: OrderId, machine: MachineId) -> StoreResult<Option<Signed<Receipt>>> {
        let row = query("SELECT signed FROM receipts WHERE order_id = ? AND machine = ?")
            .bind(id.0.as_slice())
            .bind(machine.0.as_slice())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.map(|row| Columns(&row).json("signed")).transpose()
    }

    async fn evidence(&self, row: &OrderRow) -> StoreResult<ReleaseEvidence> {
        let id = row.deployment.0.as_slice();
        let proven = query(
            "SELECT COUNT(DISTINCT machine) AS number FROM addressees \
             JOIN orders ON orders.id = addressees.order_id \
             WHERE package = ? AND sequence = ? AND stage = 'installed'",
        )
        .bind(&row.order.package)
        .bind(signed(row.order.sequence))
        .fetch_one(&mut *self.reader().await?)
        .await?;
        let failures = query(
            "SELECT DISTINCT addressees.reason AS reason FROM targets JOIN addressees \
             ON addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
             WHERE targets.deployment = ? AND stage = 'failed' AND addressees.reason IS NOT NULL AND NOT is_accepted",
        )
        .bind(id)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let permitted = query(
            "SELECT addressees.* FROM addressees JOIN orders ON orders.id = addressees.order_id \
             WHERE orders.deployment = ? AND permitted IS NOT NULL AND stage NOT IN ('installed', 'failed')",
        )
        .bind(id)
        .fetch_all(&mut *self.reader().await?)
        .await?;
        Ok(ReleaseEvidence {
            proven: Columns(&proven).number("number").map(|number| usize::try_from(number).unwrap_or(usize::MAX))?,
            failures: failures.iter().map(|row| Columns(row).enum_value("reason")).collect::<StoreResult<_>>()?,
            permitted: permitted.iter().map(read_addressee).collect::<StoreResult<_>>()?,
        })
    }

    async fn record_permit(&self, id: OrderId, machine: MachineId, now: UnixSeconds) -> StoreResult<()> {
        query("UPDATE addressees SET permitted = ? WHERE order_id = ? AND machine = ?")
            .bind(signed(now.0))
            .bind(id.0.as_slice())
            .bind(machine.0.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn note(&self, notes: &[ProgressNote]) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        for note in notes {
            query(
                "UPDATE addressees SET reason = ?, detail = ? WHERE order_id = ? AND machine = ? \
                 AND stage NOT IN ('installed', 'failed') AND reason IS NOT ?",
            )
            .bind(note.reason.code())
            .bind(&note.detail)
            .bind(note.order.0.as_slice())
            .bind(note.machine.0.as_slice())
            .bind(note.reason.code())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }
}

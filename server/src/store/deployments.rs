//! Deployments and their lists in SQLite.

use super::{
    AddresseeRow, DeploymentRow, DeploymentStore, NewDeployment, NewEvent, StoreError, StoreResult,
    events::insert_event,
    machines::end_revoked,
    progress::{end_if_over, insert_addressee},
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    AddresseeList, Order, OrderId, Reason, Signed, UnixSeconds,
    admin::{DeploymentState, Stage},
    limits,
    server_events::EventKind,
};
use serde::Deserialize;
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};

/// A signed document's payload. Read without verifying the signature again, which is the server's own.
#[derive(Deserialize)]
struct Payload {
    payload: String,
}

fn read(row: &SqliteRow) -> StoreResult<DeploymentRow> {
    let columns = Columns(row);
    let text = columns.text("signed")?;
    let damaged = |_| StoreError::Damaged("order");
    let payload: Payload = serde_json::from_str(&text).map_err(damaged)?;
    let order: Order = serde_json::from_str(&payload.payload).map_err(damaged)?;
    let signed: Signed<Order> = serde_json::from_str(&text).map_err(damaged)?;
    Ok(DeploymentRow {
        order,
        signed,
        version: columns.text("version")?,
        state: columns.enum_value("state")?,
        accepted_ms: columns.number("accepted_ms")?,
        size: columns.number("size")?,
        chunks: columns.small("chunks")?,
        request: columns.json("request")?,
        server_sent: columns.number("server_sent")?,
    })
}

async fn insert(to: &mut SqliteConnection, row: &DeploymentRow) -> StoreResult<()> {
    query(
        "INSERT INTO deployments (id, number, package, sequence, version, platform, state, accepted_ms, expires, size, \
         chunks, signed, request, server_sent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.order.id.0.as_slice())
    .bind(signed(row.order.number))
    .bind(&row.order.package)
    .bind(signed(row.order.sequence))
    .bind(&row.version)
    .bind(&row.order.platform)
    .bind(enum_text(&row.state)?)
    .bind(signed(row.accepted_ms))
    .bind(signed(row.order.expires.0))
    .bind(signed(row.size))
    .bind(i64::from(row.chunks))
    .bind(json(&row.signed)?)
    .bind(json(&row.request)?)
    .bind(signed(row.server_sent))
    .execute(to)
    .await?;
    Ok(())
}

/// Ends the parts of older open deployments of the package that the new deployment takes over. Returns the deployments
/// that ended.
async fn supersede(tx: &mut SqliteConnection, row: &DeploymentRow) -> StoreResult<Vec<OrderId>> {
    let older = query(
        "SELECT id FROM deployments WHERE package = ? AND id <> ? AND state IN ('running', 'halted') ORDER BY number",
    )
    .bind(&row.order.package)
    .bind(row.order.id.0.as_slice())
    .fetch_all(&mut *tx)
    .await?;
    let mut ended_ids = Vec::new();
    for older in &older {
        let id = Columns(older).order("id")?;
        let ended = query(
            "UPDATE addressees SET stage = 'failed', reason = ?, detail = ? WHERE deployment = ? \
             AND stage NOT IN ('installed', 'failed') \
             AND machine IN (SELECT machine FROM addressees WHERE deployment = ? AND stage = 'expected')",
        )
        .bind(enum_text(&Reason::OrderSuperseded)?)
        .bind(format!("replaced by deployment {} of the same package", row.order.id.short()))
        .bind(id.0.as_slice())
        .bind(row.order.id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        if ended.rows_affected() > 0 && end_if_over(tx, id, DeploymentState::Superseded).await? {
            ended_ids.push(id);
        }
    }
    Ok(ended_ids)
}

#[async_trait]
impl DeploymentStore for Sqlite {
    async fn add_deployment(&self, new: NewDeployment<'_>) -> StoreResult<Vec<OrderId>> {
        let mut tx = self.begin().await?;
        insert(&mut tx, new.row).await?;
        for (stripe, list) in new.lists.iter().enumerate() {
            query("INSERT INTO lists (deployment, stripe, list) VALUES (?, ?, ?)")
                .bind(new.row.order.id.0.as_slice())
                .bind(signed(stripe as u64))
                .bind(json(list)?)
                .execute(&mut *tx)
                .await?;
        }
        for (position, row) in new.addressees.iter().enumerate() {
            insert_addressee(&mut tx, new.row.order.id, position, row).await?;
        }
        let started = NewEvent::of_deployment(EventKind::DeploymentStarted, new.row.order.id);
        insert_event(&mut tx, &started).await?;
        let ended_ids = supersede(&mut tx, new.row).await?;
        // One may have been revoked since the machines were selected.
        end_revoked(&mut tx).await?;
        if new.addressees.iter().all(AddresseeRow::is_over) {
            end_if_over(&mut tx, new.row.order.id, DeploymentState::Finished).await?;
        }
        tx.commit().await?;
        self.announce_event();
        Ok(ended_ids)
    }

    async fn deployments(&self, limit: Option<u32>) -> StoreResult<Vec<DeploymentRow>> {
        // SQLite takes a negative number as no limit.
        let rows = query("SELECT * FROM deployments ORDER BY number DESC LIMIT ?")
            .bind(limit.map_or(-1, i64::from))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn deployment(&self, id: OrderId) -> StoreResult<Option<DeploymentRow>> {
        let row = query("SELECT * FROM deployments WHERE id = ?")
            .bind(id.0.as_slice())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.as_ref().map(read).transpose()
    }

    async fn lists(&self, id: OrderId) -> StoreResult<Vec<AddresseeList>> {
        let rows = query("SELECT list FROM lists WHERE deployment = ? ORDER BY stripe")
            .bind(id.0.as_slice())
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(|row| Columns(row).json("list")).collect()
    }

    async fn set_state(&self, id: OrderId, from: &[DeploymentState], to: DeploymentState) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        let row =
            query("SELECT state FROM deployments WHERE id = ?").bind(id.0.as_slice()).fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(false) };
        if !from.contains(&Columns(&row).enum_value("state")?) {
            return Ok(false);
        }
        query("UPDATE deployments SET state = ? WHERE id = ?")
            .bind(enum_text(&to)?)
            .bind(id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        let kind = match to {
            DeploymentState::Halted => Some(EventKind::DeploymentHalted),
            DeploymentState::Running => Some(EventKind::DeploymentResumed),
            DeploymentState::Superseded | DeploymentState::Finished => None,
        };
        if let Some(kind) = kind {
            insert_event(&mut tx, &NewEvent::of_deployment(kind, id)).await?;
        }
        tx.commit().await?;
        self.announce_event();
        Ok(true)
    }

    async fn stopped_orders(&self, now: UnixSeconds) -> StoreResult<Vec<OrderId>> {
        let rows =
            query("SELECT id FROM deployments WHERE state = 'halted' AND expires > ? ORDER BY number DESC LIMIT ?")
                .bind(signed(now.0))
                .bind(signed(limits::STOPPED_ORDERS as u64))
                .fetch_all(&mut *self.reader().await?)
                .await?;
        rows.iter().map(|row| Columns(row).order("id")).collect()
    }

    async fn stop_number(&self) -> StoreResult<u64> {
        let row = query("SELECT stop_number FROM server").fetch_one(&mut *self.reader().await?).await?;
        Columns(&row).number("stop_number")
    }

    async fn end(&self, id: OrderId, reason: Reason, detail: &str) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        query(
            "UPDATE addressees SET stage = ?, reason = ?, detail = ? WHERE deployment = ? \
             AND stage NOT IN ('installed', 'failed')",
        )
        .bind(enum_text(&Stage::Failed)?)
        .bind(enum_text(&reason)?)
        .bind(detail)
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        let was_open = end_if_over(&mut tx, id, DeploymentState::Finished).await?;
        tx.commit().await?;
        Ok(was_open)
    }

    async fn add_server_sent(&self, id: OrderId, bytes: u64) -> StoreResult<()> {
        query("UPDATE deployments SET server_sent = server_sent + ? WHERE id = ?")
            .bind(signed(bytes))
            .bind(id.0.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }
}

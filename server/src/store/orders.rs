//! Orders and their lists in SQLite.

use super::{
    NewOrder, OrderRow, OrderStore, StoreError, StoreResult,
    progress::insert_addressee,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    AddresseeList, DeploymentId, Order, OrderId, Reason, Signed,
    admin::{DeploymentState, Stage},
};
use serde::Deserialize;
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};

/// A signed document's payload. Read without verifying the signature again, which is the server's own.
#[derive(Deserialize)]
struct Payload {
    payload: String,
}

/// The states of an order.
const OPEN: &str = "open";
const OVER: &str = "over";

fn read(row: &SqliteRow) -> StoreResult<OrderRow> {
    let columns = Columns(row);
    let text = columns.text("signed")?;
    let damaged = |_| StoreError::Damaged("order");
    let payload: Payload = serde_json::from_str(&text).map_err(damaged)?;
    let order: Order = serde_json::from_str(&payload.payload).map_err(damaged)?;
    let signed: Signed<Order> = serde_json::from_str(&text).map_err(damaged)?;
    Ok(OrderRow {
        order,
        signed,
        deployment: columns.deployment("deployment")?,
        version: columns.text("version")?,
        is_open: columns.text("state")? == OPEN,
        accepted_ms: columns.number("accepted_ms")?,
        size: columns.number("size")?,
        chunks: columns.small("chunks")?,
        server_sent: columns.number("server_sent")?,
        server_copies: columns.optional_json("server_copies")?.unwrap_or_default(),
    })
}

/// Stores an order with its lists and target machines.
pub(super) async fn insert(tx: &mut SqliteConnection, new: &NewOrder<'_>) -> StoreResult<()> {
    let row = new.row;
    let id = row.order.id;
    query(
        "INSERT INTO orders (id, deployment, number, package, sequence, version, platform, state, accepted_ms, expires, \
         size, chunks, signed, server_sent, server_copies) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.0.as_slice())
    .bind(row.deployment.0.as_slice())
    .bind(signed(row.order.number))
    .bind(&row.order.package)
    .bind(signed(row.order.sequence))
    .bind(&row.version)
    .bind(&row.order.platform)
    .bind(if row.is_open { OPEN } else { OVER })
    .bind(signed(row.accepted_ms))
    .bind(signed(row.order.expires.0))
    .bind(signed(row.size))
    .bind(i64::from(row.chunks))
    .bind(json(&row.signed)?)
    .bind(signed(row.server_sent))
    .bind(json(&row.server_copies)?)
    .execute(&mut *tx)
    .await?;
    for (stripe, list) in new.lists.iter().enumerate() {
        query("INSERT INTO lists (order_id, stripe, list) VALUES (?, ?, ?)")
            .bind(id.0.as_slice())
            .bind(signed(stripe as u64))
            .bind(json(list)?)
            .execute(&mut *tx)
            .await?;
    }
    for (position, row) in new.addressees.iter().enumerate() {
        insert_addressee(tx, id, position, row).await?;
    }
    Ok(())
}

/// Ends an open order if each of its machines has succeeded or failed. Returns its deployment if it did.
pub(super) async fn end_if_over(tx: &mut SqliteConnection, id: OrderId) -> StoreResult<Option<DeploymentId>> {
    let done = query(
        "UPDATE orders SET state = 'over' WHERE id = ? AND state = 'open' AND NOT EXISTS \
         (SELECT 1 FROM addressees WHERE order_id = ? AND stage NOT IN ('installed', 'failed')) RETURNING deployment",
    )
    .bind(id.0.as_slice())
    .bind(id.0.as_slice())
    .fetch_optional(tx)
    .await?;
    done.map(|row| Columns(&row).deployment("deployment")).transpose()
}

/// Returns whether a deployment is halted.
async fn is_halted(tx: &mut SqliteConnection, deployment: DeploymentId) -> StoreResult<bool> {
    let halted = query("SELECT 1 FROM deployments WHERE id = ? AND state = 'halted'")
        .bind(deployment.0.as_slice())
        .fetch_optional(tx)
        .await?;
    Ok(halted.is_some())
}

/// Ends an order and its deployment if nobody is left in them. A halted deployment does not finish by itself: a retry would
/// go on with what someone has stopped. Returns the deployment if that has ended.
pub(super) async fn end_with_deployment(
    tx: &mut SqliteConnection,
    id: OrderId,
    state: DeploymentState,
) -> StoreResult<Option<DeploymentId>> {
    let Some(deployment) = end_if_over(tx, id).await? else { return Ok(None) };
    if state == DeploymentState::Finished && is_halted(tx, deployment).await? {
        return Ok(None);
    }
    let has_ended = super::deployments::end_if_over(tx, deployment, state).await?;
    Ok(has_ended.then_some(deployment))
}

#[async_trait]
impl OrderStore for Sqlite {
    async fn orders(&self) -> StoreResult<Vec<OrderRow>> {
        let rows = query("SELECT * FROM orders ORDER BY number").fetch_all(&mut *self.reader().await?).await?;
        rows.iter().map(read).collect()
    }

    async fn orders_of(&self, deployment: DeploymentId) -> StoreResult<Vec<OrderRow>> {
        let rows = query("SELECT * FROM orders WHERE deployment = ? ORDER BY number")
            .bind(deployment.0.as_slice())
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn order(&self, id: OrderId) -> StoreResult<Option<OrderRow>> {
        let row = query("SELECT * FROM orders WHERE id = ?")
            .bind(id.0.as_slice())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.as_ref().map(read).transpose()
    }

    async fn lists(&self, id: OrderId) -> StoreResult<Vec<AddresseeList>> {
        let rows = query("SELECT list FROM lists WHERE order_id = ? ORDER BY stripe")
            .bind(id.0.as_slice())
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(|row| Columns(row).json("list")).collect()
    }

    async fn end_order(&self, id: OrderId, reason: Reason, detail: &str) -> StoreResult<Option<DeploymentId>> {
        let mut tx = self.begin().await?;
        query(
            "UPDATE addressees SET stage = ?, reason = ?, detail = ? WHERE order_id = ? \
             AND stage NOT IN ('installed', 'failed')",
        )
        .bind(enum_text(&Stage::Failed)?)
        .bind(enum_text(&reason)?)
        .bind(detail)
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        let ended = end_if_over(&mut tx, id).await?;
        if let Some(deployment) = ended {
            super::deployments::end_if_over(&mut tx, deployment, DeploymentState::Finished).await?;
        }
        tx.commit().await?;
        self.announce_event();
        Ok(ended)
    }

    async fn add_server_sent(&self, id: OrderId, bytes: u64) -> StoreResult<()> {
        query("UPDATE orders SET server_sent = server_sent + ? WHERE id = ?")
            .bind(signed(bytes))
            .bind(id.0.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }
}

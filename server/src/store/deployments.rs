//! Deployments and their target machines in SQLite.

use super::{
    DeploymentRow, DeploymentStore, NewDeployment, NewEvent, NewOrder, StageCounts, StateChange, StoreResult,
    TargetProgress, TargetRow,
    events::insert_event,
    machines::end_revoked,
    orders,
    progress::read_addressee,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    DeploymentId, InstallPermit, MachineId, OrderId, Reason, UnixSeconds,
    admin::{Attempt, DeploymentState, Halt, Selection, Stage},
    limits,
    server_events::EventKind,
};
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};

fn read(row: &SqliteRow) -> StoreResult<DeploymentRow> {
    let columns = Columns(row);
    Ok(DeploymentRow {
        id: columns.deployment("id")?,
        number: columns.number("number")?,
        package: columns.text("package")?,
        sequence: columns.number("sequence")?,
        version: columns.text("version")?,
        state: columns.enum_value("state")?,
        accepted_ms: columns.number("accepted_ms")?,
        expires: columns.time("expires")?,
        request: columns.json("request")?,
        is_live: columns.flag("is_live")?,
        rings: columns.small("rings")?,
        open_ring: columns.small("open_ring")?,
        ring_since: columns.time("ring_since")?,
        halt: columns.optional_json("halt")?,
    })
}

async fn insert(to: &mut SqliteConnection, row: &DeploymentRow) -> StoreResult<()> {
    query(
        "INSERT INTO deployments (id, number, package, sequence, version, state, accepted_ms, expires, request, is_live, \
         rings, open_ring, ring_since, halt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
    )
    .bind(row.id.0.as_slice())
    .bind(signed(row.number))
    .bind(&row.package)
    .bind(signed(row.sequence))
    .bind(&row.version)
    .bind(enum_text(&row.state)?)
    .bind(signed(row.accepted_ms))
    .bind(signed(row.expires.0))
    .bind(json(&row.request)?)
    .bind(row.is_live)
    .bind(i64::from(row.rings))
    .bind(i64::from(row.open_ring))
    .bind(signed(row.ring_since.0))
    .execute(to)
    .await?;
    Ok(())
}

/// Adds a machine, or gives one that has failed its next attempt. Its ring stays.
async fn put_target(to: &mut SqliteConnection, id: DeploymentId, target: &TargetRow) -> StoreResult<()> {
    query(
        "INSERT INTO targets (deployment, machine, ring, order_id, reason, detail) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (deployment, machine) DO UPDATE SET order_id = excluded.order_id, reason = excluded.reason, \
         detail = excluded.detail, is_accepted = 0",
    )
    .bind(id.0.as_slice())
    .bind(target.machine.0.as_slice())
    .bind(i64::from(target.ring))
    .bind(target.order.map(|order| order.0.to_vec()))
    .bind(target.reason.map(Reason::code))
    .bind(&target.detail)
    .execute(to)
    .await?;
    Ok(())
}

/// Gives an open deployment this state if every target machine has succeeded or failed. Returns whether it did.
pub(super) async fn end_if_over(
    tx: &mut SqliteConnection,
    id: DeploymentId,
    state: DeploymentState,
) -> StoreResult<bool> {
    let done = query(
        "UPDATE deployments SET state = ? WHERE id = ? AND state IN ('running', 'halted') AND NOT EXISTS \
         (SELECT 1 FROM targets JOIN addressees ON addressees.order_id = targets.order_id \
         AND addressees.machine = targets.machine \
         WHERE targets.deployment = ? AND stage NOT IN ('installed', 'failed'))",
    )
    .bind(enum_text(&state)?)
    .bind(id.0.as_slice())
    .bind(id.0.as_slice())
    .execute(&mut *tx)
    .await?;
    let is_over = done.rows_affected() > 0;
    if is_over {
        let kind = match state {
            DeploymentState::Superseded => EventKind::DeploymentSuperseded,
            _ => EventKind::DeploymentFinished,
        };
        insert_event(tx, &NewEvent::of_deployment(kind, id)).await?;
    }
    Ok(is_over)
}

/// Ends the parts of the package's other deployments that new orders of a deployment take over. Returns the orders in
/// which nobody is left.
async fn supersede(
    tx: &mut SqliteConnection,
    deployment: DeploymentId,
    new_orders: &[NewOrder<'_>],
) -> StoreResult<Vec<OrderId>> {
    let mut ended_orders = Vec::new();
    for new in new_orders {
        let taken = query(
            "UPDATE addressees SET stage = 'failed', reason = ?, detail = ? WHERE stage NOT IN ('installed', 'failed') \
             AND order_id IN (SELECT id FROM orders WHERE package = ? AND state = 'open' AND deployment <> ?) \
             AND machine IN (SELECT machine FROM addressees WHERE order_id = ?) RETURNING order_id",
        )
        .bind(enum_text(&Reason::OrderSuperseded)?)
        .bind(format!("replaced by deployment {} of the same package", deployment.short()))
        .bind(&new.row.order.package)
        .bind(deployment.0.as_slice())
        .bind(new.row.order.id.0.as_slice())
        .fetch_all(&mut *tx)
        .await?;
        for row in &taken {
            let id = Columns(row).order("order_id")?;
            let Some(older) = orders::end_if_over(tx, id).await? else { continue };
            ended_orders.push(id);
            // One that takes newcomers goes on for them.
            let row = query("SELECT is_live FROM deployments WHERE id = ?")
                .bind(older.0.as_slice())
                .fetch_one(&mut *tx)
                .await?;
            let state =
                if Columns(&row).flag("is_live")? { DeploymentState::Finished } else { DeploymentState::Superseded };
            end_if_over(tx, older, state).await?;
        }
    }
    Ok(ended_orders)
}

/// Older deployments of the package take no more newcomers that the new deployment would select as well.
async fn freeze_replaced(tx: &mut SqliteConnection, new: &DeploymentRow) -> StoreResult<()> {
    let rows = query("SELECT * FROM deployments WHERE package = ? AND id <> ? AND is_live = 1")
        .bind(&new.package)
        .bind(new.id.0.as_slice())
        .fetch_all(&mut *tx)
        .await?;
    for row in &rows {
        let older = read(row)?;
        if new.request.to == Selection::All || new.request.to == older.request.to {
            query("UPDATE deployments SET is_live = 0 WHERE id = ?")
                .bind(older.id.0.as_slice())
                .execute(&mut *tx)
                .await?;
        }
    }
    Ok(())
}

async fn find(tx: &mut SqliteConnection, id: DeploymentId) -> StoreResult<Option<DeploymentRow>> {
    let row = query("SELECT * FROM deployments WHERE id = ?").bind(id.0.as_slice()).fetch_optional(&mut *tx).await?;
    row.as_ref().map(read).transpose()
}

/// Whether a machine of the table `addressees` installs, or has a permit that is still valid.
const MAY_BE_INSTALLING: &str = "(stage = 'installing' OR (permitted IS NOT NULL AND permitted > ?))";

/// Counts where the machines of a deployment are.
async fn count_stages(tx: &mut SqliteConnection, id: DeploymentId, now: UnixSeconds) -> StoreResult<StageCounts> {
    let sql = format!(
        "SELECT COUNT(CASE WHEN stage = 'installed' THEN 1 END) AS installed, \
         COUNT(CASE WHEN stage NOT IN ('installed', 'failed') THEN 1 END) AS unfinished, \
         COUNT(CASE WHEN stage NOT IN ('installed', 'failed') AND {MAY_BE_INSTALLING} THEN 1 END) AS finishing \
         FROM targets JOIN addressees ON addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
         WHERE targets.deployment = ?"
    );
    let row = query(sqlx::AssertSqlSafe(sql))
        .bind(signed(now.0.saturating_sub(InstallPermit::SECONDS)))
        .bind(id.0.as_slice())
        .fetch_one(tx)
        .await?;
    let columns = Columns(&row);
    let (unfinished, finishing) = (columns.small("unfinished")?, columns.small("finishing")?);
    Ok(StageCounts { installed: columns.small("installed")?, finishing, waiting: unfinished.saturating_sub(finishing) })
}

fn read_target(row: &SqliteRow) -> StoreResult<TargetProgress> {
    let columns = Columns(row);
    let target = TargetRow {
        machine: columns.machine("machine")?,
        ring: columns.small("ring")?,
        order: columns.optional_order("target_order")?,
        reason: columns.optional_enum_value("target_reason")?,
        detail: columns.optional_text("target_detail")?,
    };
    let progress = match columns.optional_text("stage")? {
        Some(_) => Some(read_addressee(row)?),
        None => None,
    };
    Ok(TargetProgress { target, is_accepted: columns.flag("is_accepted")?, progress })
}

#[async_trait]
impl DeploymentStore for Sqlite {
    async fn add_deployment(&self, new: NewDeployment<'_>) -> StoreResult<Vec<OrderId>> {
        let mut tx = self.begin().await?;
        insert(&mut tx, new.row).await?;
        for order in new.orders {
            orders::insert(&mut tx, order).await?;
        }
        for target in new.targets {
            put_target(&mut tx, new.row.id, target).await?;
        }
        freeze_replaced(&mut tx, new.row).await?;
        let ended = supersede(&mut tx, new.row.id, new.orders).await?;
        let started = NewEvent::of_deployment(EventKind::DeploymentStarted, new.row.id);
        insert_event(&mut tx, &started).await?;
        // One may have been revoked since the machines were selected.
        end_revoked(&mut tx).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(ended)
    }

    async fn add_orders(
        &self,
        id: DeploymentId,
        new: &[NewOrder<'_>],
        targets: &[TargetRow],
    ) -> StoreResult<Option<Vec<OrderId>>> {
        let mut tx = self.begin().await?;
        let is_going = [DeploymentState::Running, DeploymentState::Halted, DeploymentState::Finished];
        if !find(&mut tx, id).await?.is_some_and(|row| is_going.contains(&row.state)) {
            return Ok(None);
        }
        for order in new {
            orders::insert(&mut tx, order).await?;
        }
        for target in targets {
            put_target(&mut tx, id, target).await?;
        }
        if !new.is_empty() {
            query("UPDATE deployments SET state = 'running' WHERE id = ? AND state = 'finished'")
                .bind(id.0.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        let ended = supersede(&mut tx, id, new).await?;
        end_revoked(&mut tx).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(Some(ended))
    }

    async fn deployments(&self, limit: Option<u32>) -> StoreResult<Vec<DeploymentRow>> {
        // SQLite takes a negative number as no limit.
        let rows = query("SELECT * FROM deployments ORDER BY number DESC LIMIT ?")
            .bind(limit.map_or(-1, i64::from))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn running_deployments(&self) -> StoreResult<Vec<DeploymentRow>> {
        let rows = query("SELECT * FROM deployments WHERE state = 'running' ORDER BY number")
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn live_deployments(&self) -> StoreResult<Vec<DeploymentRow>> {
        let rows = query(
            "SELECT * FROM deployments WHERE is_live = 1 AND state IN ('running', 'finished') ORDER BY number DESC",
        )
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(read).collect()
    }

    async fn deployment(&self, id: DeploymentId) -> StoreResult<Option<DeploymentRow>> {
        find(&mut *self.reader().await?, id).await
    }

    async fn deployment_of(&self, order: OrderId) -> StoreResult<Option<DeploymentRow>> {
        let row = query("SELECT * FROM deployments WHERE id = (SELECT deployment FROM orders WHERE id = ?)")
            .bind(order.0.as_slice())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.as_ref().map(read).transpose()
    }

    async fn targets(&self, id: DeploymentId) -> StoreResult<Vec<TargetProgress>> {
        let rows = query(
            "SELECT targets.machine AS machine, ring, targets.order_id AS target_order, \
             targets.reason AS target_reason, targets.detail AS target_detail, is_accepted, addressees.stage, held, \
             addressees.reason AS reason, addressees.detail AS detail, sources, verified_after, installed_after, \
             permitted, already, ended \
             FROM targets LEFT JOIN orders ON orders.id = targets.order_id \
             LEFT JOIN addressees ON addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
             WHERE targets.deployment = ? ORDER BY orders.number IS NULL, orders.number, position",
        )
        .bind(id.0.as_slice())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(read_target).collect()
    }

    async fn target_ring(&self, id: DeploymentId, machine: MachineId) -> StoreResult<Option<u32>> {
        let row = query("SELECT ring FROM targets WHERE deployment = ? AND machine = ?")
            .bind(id.0.as_slice())
            .bind(machine.0.as_slice())
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.map(|row| Columns(&row).small("ring")).transpose()
    }

    async fn machines_since(&self, package: &str, number: u64) -> StoreResult<Vec<MachineId>> {
        let rows = query(
            "SELECT DISTINCT machine FROM targets JOIN deployments ON deployments.id = targets.deployment \
             WHERE package = ? AND number >= ? AND (order_id IS NOT NULL OR number = ?)",
        )
        .bind(package)
        .bind(signed(number))
        .bind(signed(number))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Columns(row).machine("machine")).collect()
    }

    async fn attempts(&self, id: DeploymentId) -> StoreResult<Vec<(MachineId, Attempt)>> {
        let rows = query(
            "SELECT addressees.machine AS machine, addressees.order_id AS order_id, stage, addressees.reason AS reason, \
             addressees.detail AS detail FROM orders \
             JOIN addressees ON addressees.order_id = orders.id \
             JOIN targets ON targets.deployment = orders.deployment AND targets.machine = addressees.machine \
             WHERE orders.deployment = ? AND targets.order_id IS NOT addressees.order_id ORDER BY orders.number",
        )
        .bind(id.0.as_slice())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row: &SqliteRow| {
            let columns = Columns(row);
            let attempt = Attempt {
                order: columns.order("order_id")?,
                stage: columns.enum_value("stage")?,
                reason: columns.optional_enum_value("reason")?,
                detail: columns.optional_text("detail")?,
            };
            Ok((columns.machine("machine")?, attempt))
        };
        rows.iter().map(read).collect()
    }

    async fn halt(&self, id: DeploymentId, halt: &Halt, now: UnixSeconds) -> StoreResult<StateChange> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, id).await? else { return Ok(StateChange::Missing) };
        // Failures can halt a deployment in which the last machine has just failed, and an administrator one that still
        // takes newcomers.
        let may_halt =
            row.state.is_open() || (row.state == DeploymentState::Finished && (halt.ring.is_some() || row.is_live));
        if !may_halt {
            return Ok(StateChange::Refused(row.state));
        }
        if row.state != DeploymentState::Halted {
            query("UPDATE deployments SET state = 'halted', halt = ? WHERE id = ?")
                .bind(json(halt)?)
                .bind(id.0.as_slice())
                .execute(&mut *tx)
                .await?;
            let (reason, detail) = (halt.reason, halt.detail.clone());
            let halted = NewEvent { reason, detail, ..NewEvent::of_deployment(EventKind::DeploymentHalted, id) };
            insert_event(&mut tx, &halted).await?;
        }
        let counts = count_stages(&mut tx, id, now).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(StateChange::Changed(counts))
    }

    async fn resume(&self, id: DeploymentId, now: UnixSeconds) -> StoreResult<StateChange> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, id).await? else { return Ok(StateChange::Missing) };
        if !row.state.is_open() {
            return Ok(StateChange::Refused(row.state));
        }
        query("UPDATE deployments SET state = 'running', halt = NULL WHERE id = ?")
            .bind(id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        // Also in a running one: with some spreads, a failure stops all further installations without a halt.
        query(
            "UPDATE targets SET is_accepted = 1 WHERE deployment = ? AND EXISTS (SELECT 1 FROM addressees \
             WHERE addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
             AND stage = 'failed')",
        )
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        if row.state == DeploymentState::Halted {
            insert_event(&mut tx, &NewEvent::of_deployment(EventKind::DeploymentResumed, id)).await?;
        }
        end_if_over(&mut tx, id, DeploymentState::Finished).await?;
        let counts = count_stages(&mut tx, id, now).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(StateChange::Changed(counts))
    }

    async fn cancel(&self, id: DeploymentId, now: UnixSeconds) -> StoreResult<StateChange> {
        let mut tx = self.begin().await?;
        let Some(row) = find(&mut tx, id).await? else { return Ok(StateChange::Missing) };
        let may_cancel = row.state.is_open() || (row.state == DeploymentState::Finished && row.is_live);
        if !may_cancel {
            return Ok(StateChange::Refused(row.state));
        }
        let counts = count_stages(&mut tx, id, now).await?;
        let sql = format!(
            "UPDATE addressees SET stage = 'failed', reason = ?, detail = NULL \
             WHERE stage NOT IN ('installed', 'failed') AND NOT {MAY_BE_INSTALLING} \
             AND order_id IN (SELECT id FROM orders WHERE deployment = ?)"
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(enum_text(&Reason::Cancelled)?)
            .bind(signed(now.0.saturating_sub(InstallPermit::SECONDS)))
            .bind(id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        query("UPDATE deployments SET state = 'cancelled', is_live = 0 WHERE id = ?")
            .bind(id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        query(
            "UPDATE orders SET state = 'over' WHERE deployment = ? AND NOT EXISTS (SELECT 1 FROM addressees \
             WHERE order_id = orders.id AND stage NOT IN ('installed', 'failed'))",
        )
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        insert_event(&mut tx, &NewEvent::of_deployment(EventKind::DeploymentCancelled, id)).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(StateChange::Changed(counts))
    }

    async fn stopped_orders(&self, now: UnixSeconds) -> StoreResult<Vec<OrderId>> {
        let rows = query(
            "SELECT orders.id AS id FROM orders JOIN deployments ON deployments.id = orders.deployment \
             WHERE deployments.state = 'halted' AND orders.expires > ? ORDER BY orders.number DESC LIMIT ?",
        )
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

    async fn open_ring(&self, id: DeploymentId, from: u32, now: UnixSeconds) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        let done = query(
            "UPDATE deployments SET open_ring = open_ring + 1, ring_since = ? \
             WHERE id = ? AND open_ring = ? AND open_ring + 1 < rings AND state = 'running'",
        )
        .bind(signed(now.0))
        .bind(id.0.as_slice())
        .bind(i64::from(from))
        .execute(&mut *tx)
        .await?;
        let is_open = done.rows_affected() > 0;
        if is_open {
            let detail = format!("ring {}", from + 2);
            let opened = NewEvent { detail, ..NewEvent::of_deployment(EventKind::RingOpened, id) };
            insert_event(&mut tx, &opened).await?;
        }
        tx.commit().await?;
        self.announce_event();
        Ok(is_open)
    }

    async fn counts(&self, id: DeploymentId) -> StoreResult<(Vec<(Stage, u32)>, u32)> {
        let rows = query(
            "SELECT COALESCE(stage, 'failed') AS at, COUNT(*) AS number, \
             COUNT(CASE WHEN addressees.reason = ? THEN 1 END) AS replaced FROM targets \
             LEFT JOIN addressees ON addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
             WHERE targets.deployment = ? GROUP BY at",
        )
        .bind(enum_text(&Reason::OrderSuperseded)?)
        .bind(id.0.as_slice())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let (mut counts, mut replaced) = (Vec::new(), 0);
        for row in &rows {
            let columns = Columns(row);
            let stage: Stage = columns.enum_value("at")?;
            counts.push((stage, columns.small("number")?));
            if stage == Stage::Failed {
                replaced = columns.small("replaced")?;
            }
        }
        counts.sort_unstable();
        Ok((counts, replaced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{OrderStore as _, ProgressStore as _};
    use banyan_proto::{
        AddresseeList, Digest, Order, Signed, SigningKey,
        order::{OrderAction, Spread, Window},
    };
    use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

    const MACHINES: [MachineId; 3] = [MachineId([1; 16]), MachineId([2; 16]), MachineId([3; 16])];

    fn signed_order(id: u8, number: u64) -> Signed<Order> {
        let list = AddresseeList::build(&MACHINES, |rest| rest.len().div_ceil(2)).unwrap();
        SigningKey::generate().0.sign(&Order {
            id: OrderId([id; 16]),
            epoch: 1,
            number,
            revision: 0,
            action: OrderAction::Install,
            package: "hello".into(),
            sequence: number,
            manifest: Digest([0; 32]),
            platform: "any".into(),
            artifact: Digest([id; 32]),
            stripes: vec![list.subtree(0)],
            server: MachineId([9; 16]),
            issued: UnixSeconds(1),
            expires: UnixSeconds(99),
            keep_until: UnixSeconds(100),
            spread: Spread::CutThrough,
            window: Window::Any,
            deadline: None,
            allow: vec![],
        })
    }

    /// Creates a database of the version in which a deployment was one order: one that has finished, and one in which a
    /// machine is left.
    async fn old_database(path: &std::path::Path) {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let mut migrations = sqlx::migrate!("./migrations");
        migrations.migrations =
            migrations.migrations.iter().filter(|one| one.version < 13).cloned().collect::<Vec<_>>().into();
        migrations.run(&mut connection).await.unwrap();
        for machine in MACHINES {
            query(
                "INSERT INTO machines (id, label, platform, software, addresses, enrolled, seen) \
                 VALUES (?, 'pc', 'linux-x86_64', 'a 1', '[]', 1, 1)",
            )
            .bind(machine.0.as_slice())
            .execute(&mut connection)
            .await
            .unwrap();
        }
        let request = r#"{"package":"hello","version":null,"to":"all","stripes":1,"spread":"cut-through","window":"any","deadline":null}"#;
        for (id, state) in [(1_u8, "finished"), (2, "halted")] {
            let bytes = [id; 16];
            query(
                "INSERT INTO deployments (id, number, package, sequence, version, platform, state, accepted_ms, expires, \
                 size, chunks, signed, request, server_sent) VALUES (?, ?, 'hello', ?, '1', 'any', ?, 5000, 99, 10, 1, ?, ?, 7)",
            )
            .bind(bytes.as_slice())
            .bind(id)
            .bind(id)
            .bind(state)
            .bind(json(&signed_order(id, id.into())).unwrap())
            .bind(request)
            .execute(&mut connection)
            .await
            .unwrap();
            for (position, machine) in MACHINES.iter().enumerate() {
                let stage = if id == 2 && position == 1 { "receiving" } else { "installed" };
                query(
                    "INSERT INTO addressees (deployment, machine, position, stage, held, sources) \
                     VALUES (?, ?, ?, ?, 0, '[]')",
                )
                .bind(bytes.as_slice())
                .bind(machine.0.as_slice())
                .bind(signed(position as u64))
                .bind(stage)
                .execute(&mut connection)
                .await
                .unwrap();
            }
        }
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn deployments_of_an_earlier_version_keep_their_ids_and_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.sqlite");
        old_database(&path).await;
        let store = Sqlite::open(&path).await.unwrap();
        let all = store.deployments(None).await.unwrap();
        let [second, first] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((first.id, first.state), (DeploymentId([1; 16]), DeploymentState::Finished));
        assert_eq!((second.id, second.state, second.number), (DeploymentId([2; 16]), DeploymentState::Halted, 2));
        assert!(!second.is_live && second.rings == 1 && second.request.rollout.is_default());
        let orders = store.orders_of(second.id).await.unwrap();
        assert_eq!((orders.len(), orders[0].order.id, orders[0].is_open), (1, OrderId([2; 16]), true));
        assert!(!store.order(OrderId([1; 16])).await.unwrap().unwrap().is_open);
        let targets = store.targets(second.id).await.unwrap();
        assert_eq!(targets.iter().map(|one| one.target.machine).collect::<Vec<_>>(), MACHINES);
        assert!(targets.iter().all(|one| one.target.ring == 0 && one.target.order == Some(OrderId([2; 16]))));
        assert_eq!(store.expected(MACHINES[1]).await.unwrap(), [OrderId([2; 16])]);

        // It is resumed, and ends with its last machine.
        assert!(matches!(store.resume(second.id, UnixSeconds(9)).await.unwrap(), StateChange::Changed(_)));
        store.end_order(OrderId([2; 16]), Reason::OrderExpired, "late").await.unwrap();
        let row = store.deployment(second.id).await.unwrap().unwrap();
        assert_eq!(row.state, DeploymentState::Finished);
        assert_eq!(store.counts(second.id).await.unwrap(), (vec![(Stage::Installed, 2), (Stage::Failed, 1)], 0));
        store.close().await;
    }
}

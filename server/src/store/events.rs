//! Events and their deliveries to webhooks in SQLite.

use super::{
    AttemptEnd, DueDelivery, EventStore, NewEvent, StoreResult, WebhookRow,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    DeploymentId, MachineId, UnixSeconds,
    server_events::{EventKind, ServerEvent},
    text,
    webhooks::{DELIVERIES, Delivery, DeliveryResult, DeliveryState},
};
use sqlx::{SqliteConnection, query, sqlite::SqliteRow};
use tokio::sync::watch;

/// How many events are deleted in one transaction.
const DELETED_AT_ONCE: u64 = 1000;

/// Stores an event in the transaction of the change that it tells, with its deliveries to the webhooks that want it.
pub(super) async fn insert_event(tx: &mut SqliteConnection, event: &NewEvent) -> StoreResult<()> {
    let id = query(
        "INSERT INTO events (at, kind, deployment, sequence, package, version, machine, label, reason, detail) \
         VALUES (?1, ?2, ?3, \
         CASE WHEN ?3 IS NULL THEN 0 ELSE \
         1 + COALESCE((SELECT MAX(sequence) FROM events WHERE deployment = ?3), 0) END, \
         (SELECT package FROM deployments WHERE id = ?3), (SELECT version FROM deployments WHERE id = ?3), \
         ?4, (SELECT COALESCE(given_name, label) FROM machines WHERE id = ?4), ?5, ?6)",
    )
    .bind(signed(UnixSeconds::now().0))
    .bind(event.kind.name())
    .bind(event.deployment.map(|id| id.0.to_vec()))
    .bind(event.machine.map(|id| id.0.to_vec()))
    .bind(event.reason.map(|reason| reason.code()))
    .bind(text::bounded(&event.detail, ServerEvent::DETAIL_BYTES))
    .execute(&mut *tx)
    .await?
    .last_insert_rowid();
    query(
        "INSERT INTO deliveries (webhook, event, state, attempts, next_ms) \
         SELECT id, ?1, ?2, 0, 0 FROM webhooks WHERE paused IS NULL AND CASE WHEN ?4 IS NULL \
         THEN kinds = '[]' OR EXISTS (SELECT 1 FROM json_each(kinds) WHERE value = ?3) ELSE id = ?4 END",
    )
    .bind(id)
    .bind(enum_text(&DeliveryState::Waiting)?)
    .bind(event.kind.name())
    .bind(event.webhook.map(|id| id.to_vec()))
    .execute(tx)
    .await?;
    Ok(())
}

fn read_event(row: &SqliteRow) -> StoreResult<ServerEvent> {
    let columns = Columns(row);
    Ok(ServerEvent {
        id: columns.number("id")?,
        kind: columns.enum_value("kind")?,
        at: columns.time("at")?,
        deployment: columns.optional_deployment("deployment")?,
        sequence: columns.number("sequence")?,
        package: columns.optional_text("package")?,
        version: columns.optional_text("version")?,
        machine: columns.optional_machine("machine")?,
        label: columns.optional_text("label")?,
        reason: columns.optional_enum_value("reason")?,
        detail: columns.text("detail")?,
    })
}

fn read_result(
    columns: &Columns<'_>,
    at: &'static str,
    accepted: &'static str,
    what: &'static str,
) -> StoreResult<Option<DeliveryResult>> {
    let Some(seconds) = columns.optional_number(at)? else { return Ok(None) };
    Ok(Some(DeliveryResult {
        at: UnixSeconds(seconds),
        accepted: columns.number(accepted)? != 0,
        what: columns.text(what)?,
    }))
}

fn read_webhook(row: &SqliteRow) -> StoreResult<WebhookRow> {
    let columns = Columns(row);
    Ok(WebhookRow {
        id: columns.machine("id")?.0,
        url: columns.text("url")?,
        kinds: columns.json("kinds")?,
        private: columns.number("private")? != 0,
        secret: columns.blob("secret")?,
        old_secret: columns
            .optional_blob("old_secret")?
            .zip(columns.optional_number("old_secret_until")?.map(UnixSeconds)),
        created: columns.time("created")?,
        paused: columns.optional_text("paused")?,
        last: read_result(&columns, "last_at", "last_accepted", "last_what")?,
    })
}

#[async_trait]
impl EventStore for Sqlite {
    async fn record_event(&self, event: NewEvent) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        insert_event(&mut tx, &event).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(())
    }

    fn event_news(&self) -> watch::Receiver<u64> {
        self.watch_events()
    }

    async fn events_after(&self, id: u64, limit: u32) -> StoreResult<Vec<ServerEvent>> {
        let rows = query("SELECT * FROM events WHERE id > ? AND kind <> ? ORDER BY id LIMIT ?")
            .bind(signed(id))
            .bind(EventKind::WebhookTest.name())
            .bind(i64::from(limit))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(read_event).collect()
    }

    async fn kept_events(&self) -> StoreResult<(u64, u64)> {
        // The counter also counts events that were deleted.
        let row = query(
            "SELECT COALESCE((SELECT MIN(id) FROM events), 0) AS first, \
             COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0) AS last",
        )
        .fetch_one(&mut *self.reader().await?)
        .await?;
        let columns = Columns(&row);
        let last = columns.number("last")?;
        Ok((if columns.number("first")? == 0 { last + 1 } else { columns.number("first")? }, last))
    }

    async fn event(&self, id: u64) -> StoreResult<Option<ServerEvent>> {
        let row = query("SELECT * FROM events WHERE id = ?")
            .bind(signed(id))
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        row.as_ref().map(read_event).transpose()
    }

    async fn forget_events(&self, before: UnixSeconds, most: u64) -> StoreResult<u64> {
        let mut deleted = 0;
        loop {
            let done = query(
                "DELETE FROM events WHERE id IN (SELECT id FROM events AS old WHERE \
                 (at < ?1 OR id <= (SELECT MAX(id) FROM events) - ?2) AND NOT EXISTS \
                 (SELECT 1 FROM deliveries WHERE event = old.id AND next_ms IS NOT NULL) ORDER BY id LIMIT ?3)",
            )
            .bind(signed(before.0))
            .bind(signed(most))
            .bind(signed(DELETED_AT_ONCE))
            .execute(&mut *self.writer().await?)
            .await?;
            deleted += done.rows_affected();
            if done.rows_affected() < DELETED_AT_ONCE {
                return Ok(deleted);
            }
        }
    }

    async fn webhooks(&self) -> StoreResult<Vec<(WebhookRow, u64)>> {
        let rows = query(
            "SELECT webhooks.*, (SELECT COUNT(*) FROM deliveries WHERE webhook = webhooks.id AND next_ms IS NOT NULL) \
             AS waiting FROM webhooks ORDER BY created, id",
        )
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Ok((read_webhook(row)?, Columns(row).number("waiting")?))).collect()
    }

    async fn add_webhook(&self, row: &WebhookRow) -> StoreResult<()> {
        query("INSERT INTO webhooks (id, url, kinds, private, secret, created) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(row.id.as_slice())
            .bind(&row.url)
            .bind(json(&row.kinds)?)
            .bind(row.private)
            .bind(row.secret.as_slice())
            .bind(signed(row.created.0))
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn remove_webhook(&self, id: [u8; 16]) -> StoreResult<bool> {
        let done =
            query("DELETE FROM webhooks WHERE id = ?").bind(id.as_slice()).execute(&mut *self.writer().await?).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn change_secret(&self, id: [u8; 16], secret: &[u8], old_until: UnixSeconds) -> StoreResult<bool> {
        let done = query("UPDATE webhooks SET old_secret = secret, old_secret_until = ?, secret = ? WHERE id = ?")
            .bind(signed(old_until.0))
            .bind(secret)
            .bind(id.as_slice())
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn pause_webhook(&self, id: [u8; 16], why: &str, gives_up: bool) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        query("UPDATE webhooks SET paused = ? WHERE id = ?").bind(why).bind(id.as_slice()).execute(&mut *tx).await?;
        if gives_up {
            query("UPDATE deliveries SET state = ?, next_ms = NULL WHERE webhook = ? AND next_ms IS NOT NULL")
                .bind(enum_text(&DeliveryState::GivenUp)?)
                .bind(id.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        let detail = format!("webhook {}: {why}", MachineId(id).short());
        let event = NewEvent { detail, ..NewEvent::of(EventKind::WebhookPaused) };
        insert_event(&mut tx, &event).await?;
        tx.commit().await?;
        self.announce_event();
        Ok(())
    }

    async fn resume_webhook(&self, id: [u8; 16]) -> StoreResult<bool> {
        let mut tx = self.begin().await?;
        let done =
            query("UPDATE webhooks SET paused = NULL WHERE id = ?").bind(id.as_slice()).execute(&mut *tx).await?;
        query("UPDATE deliveries SET next_ms = 0 WHERE webhook = ? AND next_ms IS NOT NULL")
            .bind(id.as_slice())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.announce_event();
        Ok(done.rows_affected() > 0)
    }

    async fn due_deliveries(&self, id: [u8; 16], limit: u32) -> StoreResult<Vec<DueDelivery>> {
        let rows = query(
            "SELECT event, attempts, next_ms FROM deliveries WHERE webhook = ? AND next_ms IS NOT NULL \
             ORDER BY next_ms, event LIMIT ?",
        )
        .bind(id.as_slice())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row| {
            let columns = Columns(row);
            Ok(DueDelivery {
                event: columns.number("event")?,
                attempts: columns.small("attempts")?,
                next_ms: columns.number("next_ms")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn end_attempt(&self, id: [u8; 16], event: u64, end: AttemptEnd) -> StoreResult<()> {
        let state = match (end.result.accepted, end.next_ms) {
            (true, _) => DeliveryState::Delivered,
            (false, Some(_)) => DeliveryState::Waiting,
            (false, None) => DeliveryState::GivenUp,
        };
        let mut tx = self.begin().await?;
        query(
            "UPDATE deliveries SET state = ?, attempts = attempts + 1, next_ms = ?, at = ?, accepted = ?, what = ? \
             WHERE webhook = ? AND event = ?",
        )
        .bind(enum_text(&state)?)
        .bind(end.next_ms.map(signed))
        .bind(signed(end.result.at.0))
        .bind(end.result.accepted)
        .bind(&end.result.what)
        .bind(id.as_slice())
        .bind(signed(event))
        .execute(&mut *tx)
        .await?;
        query("UPDATE webhooks SET last_at = ?, last_accepted = ?, last_what = ? WHERE id = ?")
            .bind(signed(end.result.at.0))
            .bind(end.result.accepted)
            .bind(&end.result.what)
            .bind(id.as_slice())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    async fn deliveries(&self, id: [u8; 16]) -> StoreResult<Vec<Delivery>> {
        let rows = query(
            "SELECT deliveries.*, events.kind AS kind FROM deliveries JOIN events ON events.id = event \
             WHERE webhook = ? ORDER BY event DESC LIMIT ?",
        )
        .bind(id.as_slice())
        .bind(i64::from(DELIVERIES))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        let read = |row| {
            let columns = Columns(row);
            Ok(Delivery {
                event: columns.number("event")?,
                kind: columns.enum_value("kind")?,
                state: columns.enum_value("state")?,
                attempts: columns.small("attempts")?,
                next: columns.optional_number("next_ms")?.map(|ms| UnixSeconds(ms / 1000)),
                last: read_result(&columns, "at", "accepted", "what")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn resend(&self, id: [u8; 16], event: u64) -> StoreResult<bool> {
        let done = query("UPDATE deliveries SET state = ?, attempts = 0, next_ms = 0 WHERE webhook = ? AND event = ?")
            .bind(enum_text(&DeliveryState::Waiting)?)
            .bind(id.as_slice())
            .bind(signed(event))
            .execute(&mut *self.writer().await?)
            .await?;
        self.announce_event();
        Ok(done.rows_affected() > 0)
    }
}

impl NewEvent {
    /// An event about nothing in particular.
    pub(crate) fn of(kind: EventKind) -> Self {
        Self { kind, deployment: None, machine: None, reason: None, detail: String::new(), webhook: None }
    }
    /// An event about a deployment.
    pub(crate) fn of_deployment(kind: EventKind, deployment: DeploymentId) -> Self {
        Self { deployment: Some(deployment), ..Self::of(kind) }
    }
}

//! The audit log in SQLite.

use super::{
    AuditStore, StoreResult,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    Signed, UnixSeconds,
    audit::{AuditEntry, AuditResult, HashedRow, TreeHead},
    merkle::{self, TreeHash},
};
use sqlx::query;

/// A row to append.
#[derive(Debug)]
pub(crate) struct NewAuditRow<'a> {
    pub(crate) entry: &'a AuditEntry,
    /// The row's JSON text, exactly as hashed.
    pub(crate) text: &'a str,
    pub(crate) leaf: TreeHash,
}

/// Which rows to list. `None` means any.
#[derive(Debug, Default)]
pub(crate) struct AuditFilter {
    /// The actor's name.
    pub(crate) actor: Option<String>,
    pub(crate) action: Option<String>,
    /// The object, or with `*` at its end its beginning.
    pub(crate) object: Option<String>,
    pub(crate) result: Option<AuditResult>,
    /// Not older than this.
    pub(crate) since: Option<UnixSeconds>,
    /// Older than this.
    pub(crate) until: Option<UnixSeconds>,
    /// With a lower number than this.
    pub(crate) before: Option<u64>,
}

/// The hash of a row.
#[derive(Debug)]
pub(crate) struct StoredLeaf {
    pub(crate) number: u64,
    /// The hash that the row was recorded with.
    pub(crate) leaf: TreeHash,
    /// Whether it is the hash of what is stored now.
    pub(crate) is_whole: bool,
}

/// What is stored of the whole log.
#[derive(Debug)]
pub(crate) struct StoredAuditLog {
    /// The rows, the oldest first.
    pub(crate) rows: Vec<StoredLeaf>,
    /// Whether a row was ever recorded.
    pub(crate) has_begun: bool,
    pub(crate) head: Option<Signed<TreeHead>>,
}

/// Returns whether the columns for filters say what the row says.
fn repeats(columns: &Columns<'_>, entry: &str) -> StoreResult<bool> {
    let Ok(entry) = serde_json::from_str::<AuditEntry>(entry) else { return Ok(false) };
    Ok(columns.number("number")? == entry.number
        && columns.time("at")? == entry.at
        && columns.text("actor")? == entry.actor.name()
        && columns.text("action")? == entry.action
        && columns.text("object")? == entry.object
        && columns.text("result")? == enum_text(&entry.result)?)
}

#[async_trait]
impl AuditStore for Sqlite {
    async fn audit_log(&self) -> StoreResult<StoredAuditLog> {
        let mut reader = self.reader().await?;
        let rows = query("SELECT * FROM audit_rows ORDER BY number").fetch_all(&mut *reader).await?;
        let read = |row| {
            let columns = Columns(row);
            let leaf = TreeHash(columns.digest("leaf")?.0);
            let entry = columns.text("entry")?;
            let is_whole = merkle::leaf(entry.as_bytes()) == leaf && repeats(&columns, &entry)?;
            Ok(StoredLeaf { number: columns.number("number")?, leaf, is_whole })
        };
        let rows = rows.iter().map(read).collect::<StoreResult<_>>()?;
        let head = query("SELECT head FROM audit_head").fetch_optional(&mut *reader).await?;
        let begun = query("SELECT audit_begun FROM server").fetch_optional(&mut *reader).await?;
        let has_begun =
            begun.map(|row| Columns(&row).number("audit_begun")).transpose()?.is_some_and(|begun| begun != 0);
        Ok(StoredAuditLog { has_begun, rows, head: head.map(|row| Columns(&row).json("head")).transpose()? })
    }

    async fn append_audit_row(&self, row: NewAuditRow<'_>, head: &Signed<TreeHead>) -> StoreResult<()> {
        let entry = row.entry;
        let mut tx = self.begin().await?;
        query(
            "INSERT INTO audit_rows (number, leaf, entry, at, actor, action, object, result) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(signed(entry.number))
        .bind(row.leaf.0.as_slice())
        .bind(row.text)
        .bind(signed(entry.at.0))
        .bind(entry.actor.name())
        .bind(&entry.action)
        .bind(&entry.object)
        .bind(enum_text(&entry.result)?)
        .execute(&mut *tx)
        .await?;
        query("UPDATE server SET audit_begun = 1 WHERE audit_begun = 0").execute(&mut *tx).await?;
        query("INSERT INTO audit_head (one, head) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET head = excluded.head")
            .bind(json(head)?)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    async fn audit_leaves(&self, size: u64) -> StoreResult<Vec<TreeHash>> {
        let rows = query("SELECT leaf FROM audit_rows ORDER BY number LIMIT ?")
            .bind(signed(size))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        rows.iter().map(|row| Ok(TreeHash(Columns(row).digest("leaf")?.0))).collect()
    }

    async fn audit_rows(&self, filter: &AuditFilter, limit: u64) -> StoreResult<Vec<AuditEntry>> {
        let (object, prefix) = match filter.object.as_deref().map(|object| (object, object.strip_suffix('*'))) {
            Some((_, Some(prefix))) => (None, Some(prefix)),
            Some((object, None)) => (Some(object), None),
            None => (None, None),
        };
        let rows = query(
            "SELECT entry FROM audit_rows WHERE (?1 IS NULL OR actor = ?1) AND (?2 IS NULL OR action = ?2) \
             AND (?3 IS NULL OR object = ?3) AND (?4 IS NULL OR substr(object, 1, length(?4)) = ?4 COLLATE NOCASE) \
             AND (?5 IS NULL OR result = ?5) AND (?6 IS NULL OR at >= ?6) AND (?7 IS NULL OR at < ?7) \
             AND (?8 IS NULL OR number < ?8) ORDER BY number DESC LIMIT ?9",
        )
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(object)
        .bind(prefix)
        .bind(filter.result.map(|result| enum_text(&result)).transpose()?)
        .bind(filter.since.map(|at| signed(at.0)))
        .bind(filter.until.map(|at| signed(at.0)))
        .bind(filter.before.map(signed))
        .bind(signed(limit))
        .fetch_all(&mut *self.reader().await?)
        .await?;
        rows.iter().map(|row| Columns(row).json("entry")).collect()
    }

    async fn hashed_audit_rows(&self, from: u64, limit: u64) -> StoreResult<Vec<HashedRow>> {
        let rows = query("SELECT leaf, entry FROM audit_rows WHERE number >= ? ORDER BY number LIMIT ?")
            .bind(signed(from))
            .bind(signed(limit))
            .fetch_all(&mut *self.reader().await?)
            .await?;
        let read = |row| {
            let columns = Columns(row);
            Ok(HashedRow { leaf: TreeHash(columns.digest("leaf")?.0), entry: columns.text("entry")? })
        };
        rows.iter().map(read).collect()
    }
}

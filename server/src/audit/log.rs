//! Appends rows to the audit log and signs its head; answers what auditors ask.

use crate::{
    identity::secrets::Secrets,
    refusal::Refusal,
    store::{AuditFilter, NewAuditRow, ServerIdentity, Store, StoreError, StoredAuditLog},
};
use banyan_proto::{
    MachineId, Reason, Signed, UnixSeconds,
    audit::{Actor, AuditEntry, AuditExportPage, AuditHead, AuditPage, AuditResult, PAGE_ROWS, TreeHead, VALUE_BYTES},
    merkle::{GrowingTree, prove_consistency},
};
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};
use tokio::sync::Mutex;
use tracing::error;

/// What is to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct NewEntry {
    pub(crate) actor: Actor,
    pub(crate) from: Option<IpAddr>,
    pub(crate) action: String,
    pub(crate) object: String,
    pub(crate) result: AuditResult,
    pub(crate) reason: Option<Reason>,
    /// Values longer than [`VALUE_BYTES`] are not stored. Never a secret.
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// The log's tree and its newest head. `None`: the log is empty and was never signed.
struct State {
    /// The number of the next row. It is that of the tree, unless rows were removed from the database.
    next: u64,
    tree: GrowingTree,
    head: Option<Signed<TreeHead>>,
}

/// The audit log.
pub(crate) struct AuditLog {
    server: MachineId,
    store: Arc<dyn Store>,
    secrets: Arc<Secrets>,
    state: Mutex<State>,
}

/// Says what is wrong with a stored log, if anything is.
fn check(stored: &StoredAuditLog, tree: &GrowingTree, secrets: &Secrets) -> Result<(), String> {
    if let Some((place, row)) = (0..).zip(&stored.rows).find(|(place, row)| row.number != *place) {
        return Err(format!("row {place} is missing; row {} follows", row.number));
    }
    if let Some(row) = stored.rows.iter().find(|row| !row.is_whole) {
        return Err(format!("row {} was changed", row.number));
    }
    let Some(head) = &stored.head else {
        return match (tree.size(), stored.has_begun) {
            (0, false) => Ok(()),
            (0, true) => Err("all of its rows and its signed head are missing".into()),
            _ => Err("it has rows and no signed head".into()),
        };
    };
    let head = head.verify(&secrets.key_ring()).map_err(|error| format!("its head: {error}"))?;
    if tree.size() < head.size {
        return Err(format!("the last {} of {} rows are missing", head.size - tree.size(), head.size));
    }
    if (tree.size(), tree.root()) == (head.size, head.root) {
        Ok(())
    } else {
        Err("its rows are not those that the server signed".into())
    }
}

fn shorten(value: Value) -> Value {
    let bytes = value.to_string().len();
    if bytes > VALUE_BYTES { json!({ "bytes": bytes, "left_out": "too long for the log" }) } else { value }
}

impl AuditLog {
    /// Reads the log and checks it against its signed head. A log that was changed is reported, also in a new row with the
    /// former head, and kept as it is: whoever has an earlier head can show what was changed.
    pub(crate) async fn open(
        server: ServerIdentity,
        store: Arc<dyn Store>,
        secrets: Arc<Secrets>,
    ) -> Result<Self, StoreError> {
        let stored = store.audit_log().await?;
        let mut tree = GrowingTree::default();
        stored.rows.iter().for_each(|row| tree.push(row.leaf));
        let checked = check(&stored, &tree, &secrets);
        let next = stored.rows.last().map_or(0, |row| row.number + 1);
        let state = Mutex::new(State { next, tree, head: stored.head.clone() });
        let log = Self { server: server.id, store, secrets, state };
        if let Err(wrong) = checked {
            error!("the audit log was changed in the database: {wrong}; `banyan audit verify` explains it");
            let head = stored.head.map(|head| json!(head));
            log.record_system("audit", "log_changed", "audit:log".into(), head, Some(json!(wrong))).await;
        }
        Ok(log)
    }
    /// Appends a row. When this returns, it is on disk.
    pub(crate) async fn record(&self, new: NewEntry) -> Result<(), Refusal> {
        let mut state = self.state.lock().await;
        let at = UnixSeconds::now();
        let entry = AuditEntry {
            number: state.next,
            at,
            actor: new.actor,
            from: new.from,
            action: new.action,
            object: new.object,
            result: new.result,
            reason: new.reason,
            before: new.before.map(shorten),
            after: new.after.map(shorten),
        };
        let text = serde_json::to_string(&entry).map_err(|error| Refusal::internal(&error))?;
        let leaf = banyan_proto::merkle::leaf(text.as_bytes());
        let mut tree = state.tree.clone();
        tree.push(leaf);
        let head = self.sign(&tree, at);
        self.store.append_audit_row(NewAuditRow { entry: &entry, text: &text, leaf }, &head).await?;
        *state = State { next: entry.number + 1, tree, head: Some(head) };
        Ok(())
    }
    /// Appends a row about something that the server does by itself. `part` names the part of the server, such as
    /// `gate`. The row may be lost only if the database fails, which the server's log then says.
    pub(crate) async fn record_system(
        &self,
        part: &str,
        action: &str,
        object: String,
        before: Option<Value>,
        after: Option<Value>,
    ) {
        let entry = NewEntry {
            actor: Actor::System { part: part.to_owned() },
            from: None,
            action: action.to_owned(),
            object,
            result: AuditResult::Done,
            reason: None,
            before,
            after,
        };
        if let Err(refusal) = self.record(entry).await {
            error!("failed to record {action} in the audit log: {refusal}");
        }
    }
    fn sign(&self, tree: &GrowingTree, at: UnixSeconds) -> Signed<TreeHead> {
        self.secrets.orders.sign(&TreeHead { server: self.server, size: tree.size(), root: tree.root(), at })
    }
    /// Returns how many rows the log has.
    pub(crate) async fn size(&self) -> u64 {
        self.state.lock().await.tree.size()
    }
    /// Returns the newest head, with the proof that the log begins with its first `known` rows.
    pub(crate) async fn head(&self, known: u64) -> Result<AuditHead, Refusal> {
        let state = self.state.lock().await;
        let (size, head) = (state.tree.size(), state.head.clone());
        let head = head.unwrap_or_else(|| self.sign(&state.tree, UnixSeconds::now()));
        drop(state);
        let consistency = if known == 0 || known >= size {
            vec![]
        } else {
            let leaves = self.store.audit_leaves(size).await?;
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            // Hashing a million rows takes a while.
            let prove = move || prove_consistency(&leaves, known);
            tokio::task::spawn_blocking(prove).await.map_err(|error| Refusal::internal(&error))?
        };
        Ok(AuditHead { head, keys: self.secrets.key_ring(), consistency })
    }
    /// Returns the rows that a filter selects, the newest first.
    pub(crate) async fn page(&self, filter: &AuditFilter, limit: Option<u64>) -> Result<AuditPage, Refusal> {
        let limit = limit.unwrap_or(100).clamp(1, PAGE_ROWS);
        let mut entries = self.store.audit_rows(filter, limit + 1).await?;
        let has_more = entries.len() as u64 > limit;
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = entries.last().filter(|_| has_more).map(|entry| entry.number);
        Ok(AuditPage { entries, next })
    }
    /// Returns rows exactly as hashed, the oldest first.
    pub(crate) async fn rows(&self, from: u64) -> Result<AuditExportPage, Refusal> {
        Ok(AuditExportPage { rows: self.store.hashed_audit_rows(from, PAGE_ROWS).await? })
    }
}

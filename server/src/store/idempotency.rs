//! Answers to requests with an idempotency key, in SQLite.

use super::{
    IdempotencyStore, StoreError, StoreResult,
    sqlite::{Columns, Sqlite, signed},
};
use async_trait::async_trait;
use banyan_proto::{Digest, UnixSeconds};
use sqlx::{Row as _, query};

/// How long an answer is kept (seconds): a day.
const KEEP_SECONDS: u64 = 24 * 3600;

/// Who sent a request, and the key that the sender gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdempotencyKey {
    /// The access token's id.
    pub(crate) token: u64,
    pub(crate) key: String,
}

/// The first answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstAnswer {
    /// BLAKE3 of method, path and body of the request.
    pub(crate) request: Digest,
    /// The answer's HTTP status.
    pub(crate) status: u16,
    /// The answer's JSON text; empty: none.
    pub(crate) body: Vec<u8>,
}

#[async_trait]
impl IdempotencyStore for Sqlite {
    async fn first_answer(&self, key: &IdempotencyKey, now: UnixSeconds) -> StoreResult<Option<FirstAnswer>> {
        let row = query("SELECT request, status, body FROM idempotency_keys WHERE token = ? AND key = ? AND at > ?")
            .bind(signed(key.token))
            .bind(&key.key)
            .bind(signed(now.0.saturating_sub(KEEP_SECONDS)))
            .fetch_optional(&mut *self.reader().await?)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let columns = Columns(&row);
        let status = u16::try_from(columns.number("status")?).map_err(|_| StoreError::Damaged("status"))?;
        Ok(Some(FirstAnswer { request: columns.digest("request")?, status, body: row.try_get("body")? }))
    }

    async fn keep_answer(&self, key: &IdempotencyKey, answer: &FirstAnswer, now: UnixSeconds) -> StoreResult<()> {
        let mut tx = self.begin().await?;
        query("DELETE FROM idempotency_keys WHERE at <= ?")
            .bind(signed(now.0.saturating_sub(KEEP_SECONDS)))
            .execute(&mut *tx)
            .await?;
        query(
            "INSERT OR REPLACE INTO idempotency_keys (token, key, request, status, body, at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(signed(key.token))
        .bind(&key.key)
        .bind(answer.request.0.as_slice())
        .bind(answer.status)
        .bind(&answer.body)
        .bind(signed(now.0))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}

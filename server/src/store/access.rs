//! Access tokens in SQLite.

use super::{
    AccessStore, StoreResult,
    sqlite::{Columns, Sqlite, enum_text, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{
    Digest, UnixSeconds,
    access::{Access, Role},
};
use sqlx::{query, sqlite::SqliteRow};

/// An access token of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessTokenRow {
    /// BLAKE3 of the token.
    pub(crate) hash: Digest,
    pub(crate) access: Access,
}

/// An access token to store.
#[derive(Debug)]
pub(crate) struct NewAccessToken<'a> {
    pub(crate) hash: Digest,
    pub(crate) person: &'a str,
    pub(crate) token: &'a str,
    pub(crate) role: Role,
    pub(crate) groups: &'a [String],
    pub(crate) created: UnixSeconds,
    pub(crate) created_by: &'a str,
    pub(crate) expires: UnixSeconds,
}

fn read(row: &SqliteRow) -> StoreResult<AccessTokenRow> {
    let columns = Columns(row);
    let time = |column| columns.optional_number(column).map(|at| at.map(UnixSeconds));
    let access = Access {
        id: columns.number("id")?,
        person: columns.text("person")?,
        token: columns.text("token")?,
        role: columns.enum_value("role")?,
        groups: columns.json("grps")?,
        created: time("created")?,
        created_by: columns.optional_text("created_by")?,
        expires: time("expires")?,
        last_used: time("last_used")?,
        revoked: time("revoked")?,
    };
    Ok(AccessTokenRow { hash: columns.digest("hash")?, access })
}

#[async_trait]
impl AccessStore for Sqlite {
    async fn access_tokens(&self) -> StoreResult<Vec<AccessTokenRow>> {
        let rows = query("SELECT * FROM access_tokens ORDER BY id").fetch_all(&mut *self.reader().await?).await?;
        rows.iter().map(read).collect()
    }

    async fn add_access_token(&self, new: NewAccessToken<'_>) -> StoreResult<AccessTokenRow> {
        let row = query(
            "INSERT INTO access_tokens (hash, person, token, role, grps, created, created_by, expires) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        )
        .bind(new.hash.0.as_slice())
        .bind(new.person)
        .bind(new.token)
        .bind(enum_text(&new.role)?)
        .bind(json(&new.groups)?)
        .bind(signed(new.created.0))
        .bind(new.created_by)
        .bind(signed(new.expires.0))
        .fetch_one(&mut *self.writer().await?)
        .await?;
        read(&row)
    }

    async fn revoke_access_token(&self, id: u64, now: UnixSeconds) -> StoreResult<()> {
        query("UPDATE access_tokens SET revoked = COALESCE(revoked, ?) WHERE id = ?")
            .bind(signed(now.0))
            .bind(signed(id))
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }

    async fn record_access_use(&self, id: u64, now: UnixSeconds) -> StoreResult<()> {
        query("UPDATE access_tokens SET last_used = ? WHERE id = ?")
            .bind(signed(now.0))
            .bind(signed(id))
            .execute(&mut *self.writer().await?)
            .await?;
        Ok(())
    }
}

//! Policies in SQLite.

use super::{
    PolicyRow, PolicyStore, StoreResult,
    sqlite::{Columns, Sqlite, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{UnixSeconds, schedule::Policy};
use sqlx::{SqliteConnection, query};

/// Returns the number of a change after which other policies are in force.
pub(super) async fn next_number(tx: &mut SqliteConnection) -> StoreResult<u64> {
    let row = query("UPDATE server SET policy_number = policy_number + 1 RETURNING policy_number AS number")
        .fetch_one(tx)
        .await?;
    Columns(&row).number("number")
}

#[async_trait]
impl PolicyStore for Sqlite {
    async fn policies(&self) -> StoreResult<Vec<PolicyRow>> {
        let rows = query("SELECT * FROM policies ORDER BY grp").fetch_all(&mut *self.reader().await?).await?;
        let read = |row| {
            let columns = Columns(row);
            let policy = columns.optional_text("policy")?.is_some().then(|| columns.json("policy")).transpose()?;
            let group = Some(columns.text("grp")?).filter(|group| !group.is_empty());
            let (number, at, rank) = (columns.number("number")?, columns.time("at")?, columns.rank("rank")?);
            Ok(PolicyRow { group, number, at, policy, rank })
        };
        rows.iter().map(read).collect()
    }

    async fn set_policy(
        &self,
        group: Option<&str>,
        policy: Option<&Policy>,
        rank: i32,
        now: UnixSeconds,
    ) -> StoreResult<PolicyRow> {
        let mut tx = self.begin().await?;
        let number = next_number(&mut tx).await?;
        let text = policy.map(json).transpose()?;
        for sql in [
            "INSERT INTO policies (grp, number, at, policy, rank) VALUES (?, ?, ?, ?, ?) ON CONFLICT (grp) DO UPDATE \
             SET number = excluded.number, at = excluded.at, policy = excluded.policy, rank = excluded.rank",
            "INSERT INTO policy_changes (grp, number, at, policy, rank) VALUES (?, ?, ?, ?, ?)",
        ] {
            query(sql)
                .bind(group.unwrap_or_default())
                .bind(signed(number))
                .bind(signed(now.0))
                .bind(&text)
                .bind(rank)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(PolicyRow { group: group.map(str::to_owned), number, at: now, policy: policy.cloned(), rank })
    }
}

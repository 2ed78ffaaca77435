//! Policies in SQLite.

use super::{
    PolicyRow, PolicyStore, StoreResult,
    sqlite::{Columns, Sqlite, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{UnixSeconds, schedule::Policy};
use sqlx::query;

#[async_trait]
impl PolicyStore for Sqlite {
    async fn policies(&self) -> StoreResult<Vec<PolicyRow>> {
        let rows = query("SELECT * FROM policies ORDER BY grp").fetch_all(&mut *self.reader().await?).await?;
        let read = |row| {
            let columns = Columns(row);
            let policy = columns.optional_text("policy")?.is_some().then(|| columns.json("policy")).transpose()?;
            let group = Some(columns.text("grp")?).filter(|group| !group.is_empty());
            Ok(PolicyRow { group, number: columns.number("number")?, at: columns.time("at")?, policy })
        };
        rows.iter().map(read).collect()
    }

    async fn set_policy(
        &self,
        group: Option<&str>,
        policy: Option<&Policy>,
        now: UnixSeconds,
    ) -> StoreResult<PolicyRow> {
        let mut tx = self.begin().await?;
        let row = query("UPDATE server SET policy_number = policy_number + 1 RETURNING policy_number AS number")
            .fetch_one(&mut *tx)
            .await?;
        let number = Columns(&row).number("number")?;
        let text = policy.map(json).transpose()?;
        for sql in [
            "INSERT INTO policies (grp, number, at, policy) VALUES (?, ?, ?, ?) ON CONFLICT (grp) DO UPDATE SET \
             number = excluded.number, at = excluded.at, policy = excluded.policy",
            "INSERT INTO policy_changes (grp, number, at, policy) VALUES (?, ?, ?, ?)",
        ] {
            query(sql)
                .bind(group.unwrap_or_default())
                .bind(signed(number))
                .bind(signed(now.0))
                .bind(&text)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(PolicyRow { group: group.map(str::to_owned), number, at: now, policy: policy.cloned() })
    }
}

//! Budgets of sites in SQLite.

use super::{
    SiteBudgetRow, SiteBudgetStore, StoreError, StoreResult,
    sqlite::{Columns, Sqlite, json, signed},
};
use async_trait::async_trait;
use banyan_proto::{Site, UnixSeconds, site_budget::SiteBudget};
use sqlx::query;

#[async_trait]
impl SiteBudgetStore for Sqlite {
    async fn site_budgets(&self) -> StoreResult<Vec<SiteBudgetRow>> {
        let rows = query("SELECT * FROM site_budgets ORDER BY site").fetch_all(&mut *self.reader().await?).await?;
        let read = |row| {
            let columns = Columns(row);
            let site = columns.text("site")?.parse().map_err(|_| StoreError::Damaged("site"))?;
            Ok(SiteBudgetRow { site, budget: columns.json("budget")? })
        };
        rows.iter().map(read).collect()
    }

    async fn set_site_budget(&self, site: Site, budget: Option<&SiteBudget>, now: UnixSeconds) -> StoreResult<()> {
        let text = budget.map(json).transpose()?;
        let mut tx = self.begin().await?;
        query("DELETE FROM site_budgets WHERE site = ?").bind(site.to_string()).execute(&mut *tx).await?;
        if let Some(text) = &text {
            let insert = "INSERT INTO site_budgets (site, budget) VALUES (?, ?)";
            query(insert).bind(site.to_string()).bind(text).execute(&mut *tx).await?;
        }
        query("INSERT INTO site_budget_changes (site, at, budget) VALUES (?, ?, ?)")
            .bind(site.to_string())
            .bind(signed(now.0))
            .bind(&text)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

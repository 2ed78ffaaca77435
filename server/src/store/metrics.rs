//! Counts for the metrics, in SQLite. Each statement groups by columns with few values.

use super::{
    MetricsStore, StoreResult,
    sqlite::{Columns, Sqlite},
};
use async_trait::async_trait;
use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use sqlx::query;

/// What the database counts.
#[derive(Debug, Default)]
pub(crate) struct FleetCounts {
    /// Deployments by state.
    pub(crate) deployments: Vec<(DeploymentState, u64)>,
    /// Machines of running and halted deployments, by stage and reason.
    pub(crate) machines: Vec<(Stage, Option<Reason>, u64)>,
    /// Content bytes that the server itself has sent.
    pub(crate) server_sent: u64,
}

#[async_trait]
impl MetricsStore for Sqlite {
    async fn fleet_counts(&self) -> StoreResult<FleetCounts> {
        let mut reader = self.reader().await?;
        let mut counts = FleetCounts::default();
        let rows = query(
            "SELECT deployments.state AS state, COUNT(DISTINCT deployments.id) AS n, \
             COALESCE(SUM(server_sent), 0) AS sent FROM deployments \
             LEFT JOIN orders ON orders.deployment = deployments.id GROUP BY deployments.state",
        )
        .fetch_all(&mut *reader)
        .await?;
        for row in &rows {
            let columns = Columns(row);
            counts.deployments.push((columns.enum_value::<DeploymentState>("state")?, columns.number("n")?));
            counts.server_sent += columns.number("sent")?;
        }
        let rows = query(
            "SELECT stage, addressees.reason AS reason, COUNT(*) AS n FROM targets \
             JOIN deployments ON deployments.id = targets.deployment \
             JOIN addressees ON addressees.order_id = targets.order_id AND addressees.machine = targets.machine \
             WHERE deployments.state IN ('running', 'halted') GROUP BY stage, addressees.reason",
        )
        .fetch_all(&mut *reader)
        .await?;
        for row in &rows {
            let columns = Columns(row);
            let reason = columns.optional_enum_value::<Reason>("reason")?;
            counts.machines.push((columns.enum_value::<Stage>("stage")?, reason, columns.number("n")?));
        }
        Ok(counts)
    }
}

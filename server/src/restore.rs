//! Raises the epoch after the server was restored from a backup (rule O2). Machines hold newer orders and revocation
//! lists than the restored server knows. They would refuse what it signs next or, worse, accept what it signed before
//! as new. A new epoch lets both start over.

pub use crate::store::RaisedEpoch;

use crate::{
    start::{StartError, open_stopped},
    store::MachineStore as _,
};
use banyan_proto::UnixSeconds;
use std::path::Path;

/// Raises the epoch of the server with this data folder. The server must not be running. Open deployments end.
///
/// # Errors
/// Returns an error if the folder has no server's data, the server is running, or the database fails.
pub async fn raise_epoch(data: &Path) -> Result<RaisedEpoch, StartError> {
    let (store, lock) = open_stopped(data).await?;
    let raised = store.raise_epoch(UnixSeconds::now()).await?;
    store.close().await;
    drop(lock);
    Ok(raised)
}

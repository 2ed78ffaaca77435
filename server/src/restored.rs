//! The server was restored from a backup, and has forgotten what came after it. Machines have not: they hold newer orders and
//! revocation lists and would refuse what it signs next, or, worse, take what it signed before for news. Raising the epoch
//! lets both start over (rule O2).

pub use crate::store::Raised;

use crate::{
    start::{StartError, lock},
    store::{Machines as _, Sqlite},
};
use banyan_proto::UnixSeconds;
use std::path::Path;

/// Raises the epoch of the server whose folder this is. The server must not run. Deployments that were open end.
///
/// # Errors
/// When there is no server's folder, the server runs, or the database fails.
pub async fn raise_epoch(data: &Path) -> Result<Raised, StartError> {
    let database = data.join("server.sqlite");
    // Opening would make one.
    if !database.is_file() {
        return Err(StartError::NoServer(data.to_owned()));
    }
    let lock = lock(data)?;
    let store = Sqlite::open(&database).await?;
    store.facts().await?;
    let raised = store.raise_epoch(UnixSeconds::now()).await?;
    store.close().await;
    drop(lock);
    Ok(raised)
}

//! Confirms the server's clock after it has jumped, when no machine is online whose clock could confirm it.

use crate::{
    start::{StartError, open_stopped},
    store::MachineStore as _,
};
use banyan_proto::UnixSeconds;
use std::path::Path;

/// Makes the time that the server with this data folder remembers the clock's. The server must not be running. Returns
/// the remembered time, if there was one, and the new one.
///
/// # Errors
/// Returns an error if the folder has no server's data, the server is running, or the database fails.
pub async fn accept_clock(data: &Path) -> Result<(Option<UnixSeconds>, UnixSeconds), StartError> {
    let (store, lock) = open_stopped(data).await?;
    let (before, now) = (store.remembered_time().await?, UnixSeconds::now());
    store.remember_time(now).await?;
    store.close().await;
    drop(lock);
    Ok((before, now))
}

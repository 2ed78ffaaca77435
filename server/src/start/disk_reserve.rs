//! A file that keeps some of the disk free for the next start. A server that starts on a full disk removes it. Then there
//! is room for the database to open, and administrators are told what is wrong instead of getting no answer.

use crate::private_files;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Enough for the database to open and for its log of a few minutes (bytes).
const SIZE: usize = 2 << 20;
/// How often a missing reserve is created again, if there is room.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// The reserve of one data folder.
#[derive(Clone)]
pub(super) struct DiskReserve(PathBuf);

impl DiskReserve {
    pub(super) fn new(data: &Path) -> Self {
        Self(data.join("reserve"))
    }
    /// Removes the reserve. Returns whether there was one.
    pub(super) fn use_up(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
    /// Creates the reserve if it is missing.
    fn renew(&self) -> io::Result<()> {
        if fs::metadata(&self.0).is_ok_and(|found| found.len() == SIZE as u64) {
            return Ok(());
        }
        // Written, not only extended: a file system gives room only to what is written.
        private_files::write_private(&self.0, &vec![0; SIZE]).inspect_err(|_| {
            drop(fs::remove_file(self.0.with_file_name("reserve.new")));
        })
    }
    /// Keeps the reserve until the server stops.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let mut was_full = false;
        loop {
            let this = self.clone();
            let renewed = tokio::task::spawn_blocking(move || this.renew()).await;
            let is_full = matches!(&renewed, Ok(Err(error)) if private_files::is_disk_full(error));
            if was_full && !is_full {
                info!("there is room on the server's disk again");
            }
            was_full = is_full;
            if stop.run_until_cancelled(tokio::time::sleep(RENEW_EVERY)).await.is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_room_and_is_used_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = DiskReserve::new(folder.path());
        assert!(!reserve.use_up());
        reserve.renew().unwrap();
        #[cfg(unix)]
        assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&reserve.0).unwrap()) * 512 >= SIZE as u64);
        assert!(reserve.use_up() && !reserve.use_up());
    }
}

//! Syncs a large file while it is still being written, so that the sync at its end has little left to wait for.

use std::{
    fs::File,
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

/// How much is written before the next sync begins (bytes).
const STEP_BYTES: u64 = 32 << 20;
/// Smaller files are only synced at their end (bytes).
const LARGE_FILE_BYTES: u64 = 2 * STEP_BYTES;

/// A thread that syncs one file.
pub(super) struct EarlySync {
    requests: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
    /// Bytes since the last request.
    written: u64,
}

impl EarlySync {
    /// Starts the thread, if the file will have at least [`LARGE_FILE_BYTES`].
    ///
    /// # Errors
    /// When the system has no more handles or threads.
    pub(super) fn start(file: &File, size: u64) -> io::Result<Option<Self>> {
        if size < LARGE_FILE_BYTES {
            return Ok(None);
        }
        let file = file.try_clone()?;
        let (requests, due) = sync_channel::<()>(1);
        let sync = move || due.iter().try_for_each(|()| file.sync_data());
        let thread = Builder::new().name("early-sync".into()).spawn(sync)?;
        Ok(Some(Self { requests, thread, written: 0 }))
    }
    /// Counts bytes that were written, and asks for a sync when it is time.
    pub(super) fn on_written(&mut self, bytes: u64) {
        self.written += bytes;
        if self.written >= STEP_BYTES {
            self.written = 0;
            // One that is waiting or has failed is enough.
            let _ = self.requests.try_send(());
        }
    }
    /// Ends the thread.
    ///
    /// # Errors
    /// When a sync failed. The system reports that once, so a later sync would succeed.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.requests);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs panicked")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn only_a_large_file_is_synced_early() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(EarlySync::start(&file, LARGE_FILE_BYTES - 1).unwrap().is_none());
        let mut early = EarlySync::start(&file, LARGE_FILE_BYTES).unwrap().expect("a large file has a thread");
        for _ in 0..3 {
            file.write_all(b"content").unwrap();
            early.on_written(STEP_BYTES);
        }
        early.finish().unwrap();
        assert_eq!(file.stream_position().unwrap(), 21, "the thread does not move the file's position");
    }

    /// Pipes and terminals cannot be synced.
    #[cfg(unix)]
    #[test]
    fn a_failed_early_sync_is_reported() {
        let (_reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut early = EarlySync::start(&file, LARGE_FILE_BYTES).unwrap().expect("a large file has a thread");
        early.on_written(STEP_BYTES);
        assert!(early.finish().is_err());
    }
}

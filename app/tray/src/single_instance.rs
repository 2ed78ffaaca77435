//! Single instance: each person runs one tray. The first tray holds a file lock; a second one sends the first what to
//! show and exits.
//!
//! The system releases the lock however the process ends, so no leftover file can keep a tray from starting.

use anyhow::{Context, Result};
use banyan_ui_common::OpenRequest;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, Stream, ToFsName, prelude::*};
use std::{
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The longest message (bytes): the path of a package file.
const MESSAGE_BYTES: u64 = 16 << 10;

/// The result of starting.
pub(crate) enum StartResult {
    /// This is the first tray. It holds the lock as long as this value lives.
    First(InstanceLock),
    /// Another tray is running; it was asked to open the window.
    AlreadyRunning,
}

/// The lock of the only tray.
pub(crate) struct InstanceLock {
    _file: File,
    folder: PathBuf,
}

/// Takes the lock, or asks the running tray to show this.
///
/// # Errors
/// Fails when the folder cannot be used, or when the running tray does not respond.
pub(crate) fn acquire(folder: &Path, request: &OpenRequest) -> Result<StartResult> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let path = folder.join("banyan-tray.lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(StartResult::First(InstanceLock { _file: file, folder: folder.to_owned() })),
        Err(TryLockError::WouldBlock) => {
            send_to_running_tray(folder, request)
                .context("another Banyan tray is running but does not respond; end it, then start again")?;
            Ok(StartResult::AlreadyRunning)
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn socket_name(folder: &Path) -> std::io::Result<Name<'static>> {
    #[cfg(unix)]
    return folder.join("banyan-tray.sock").to_fs_name::<GenericFilePath>();
    #[cfg(not(unix))]
    return format!(r"\\.\pipe\banyan-tray-{}", std::env::var("USERNAME").unwrap_or_default())
        .to_fs_name::<GenericFilePath>();
}

fn send_to_running_tray(folder: &Path, request: &OpenRequest) -> std::io::Result<()> {
    let line = request
        .to_line()
        .ok_or_else(|| std::io::Error::other("the file name contains a line break or is not valid Unicode"))?;
    // The first tray takes the lock a moment before it listens.
    let mut last = Ok(());
    for _ in 0..20 {
        match Stream::connect(socket_name(folder)?) {
            Ok(mut stream) => return writeln!(stream, "{line}"),
            Err(error) => last = Err(error),
        }
        thread::sleep(Duration::from_millis(50));
    }
    last
}

impl InstanceLock {
    /// Listens for further starts of the tray and calls `open` with what they want to show.
    ///
    /// # Errors
    /// Fails when the socket cannot be created.
    pub(crate) fn listen(&self, open: impl Fn(OpenRequest) + Send + 'static) -> Result<()> {
        let options = ListenerOptions::new().name(socket_name(&self.folder)?).try_overwrite(true);
        #[cfg(unix)]
        let options = interprocess::os::unix::local_socket::ListenerOptionsExt::mode(options, 0o600);
        let listener = options.create_sync().context("cannot listen for further starts of the tray")?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut line = String::new();
                let read = BufReader::new(stream).take(MESSAGE_BYTES).read_line(&mut line);
                if let (Ok(_), Some(request)) = (read, OpenRequest::from_line(&line)) {
                    open(request);
                }
            }
        });
        Ok(())
    }
}

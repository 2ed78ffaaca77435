//! Single instance: each session of a person runs one tray. The first tray holds a file lock; a second one sends the
//! first what to show and exits. A person can have several sessions at once, such as one at the computer and one over a
//! remote desktop; each has a screen of its own, and so a tray of its own.
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
    session: String,
}

/// Returns the name of this session, for file names: that of its screen.
pub(crate) fn session_name() -> String {
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].map(std::env::var).into_iter().flatten().find(|name| !name.is_empty());
    to_session_name(screen.as_deref().unwrap_or_default())
}

fn to_session_name(screen: &str) -> String {
    // `:0` and `:0.0` are the same screen to a person.
    let screen = match screen.rsplit_once('.') {
        Some((display, number)) if display.contains(':') && number.chars().all(|c| c.is_ascii_digit()) => display,
        _ => screen,
    };
    let name: String = screen.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { String::new() } else { format!("-{name}") }
}

/// Takes the lock, or asks the running tray to show this.
///
/// # Errors
/// Fails when the folder cannot be used, or when the running tray does not respond.
pub(crate) fn acquire(folder: &Path, session: String, request: &OpenRequest) -> Result<StartResult> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let path = folder.join(format!("banyan-tray{session}.lock"));
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(StartResult::First(InstanceLock { _file: file, folder: folder.to_owned(), session })),
        Err(TryLockError::WouldBlock) => {
            send_to_running_tray(folder, &session, request)
                .context("another Banyan tray is running but does not respond; end it, then start again")?;
            Ok(StartResult::AlreadyRunning)
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn socket_name(folder: &Path, session: &str) -> std::io::Result<Name<'static>> {
    #[cfg(unix)]
    return folder.join(format!("banyan-tray{session}.sock")).to_fs_name::<GenericFilePath>();
    #[cfg(not(unix))]
    return format!(r"\\.\pipe\banyan-tray-{}{session}", std::env::var("USERNAME").unwrap_or_default())
        .to_fs_name::<GenericFilePath>();
}

fn send_to_running_tray(folder: &Path, session: &str, request: &OpenRequest) -> std::io::Result<()> {
    let line = request
        .to_line()
        .ok_or_else(|| std::io::Error::other("the file name contains a line break or is not valid Unicode"))?;
    // The first tray takes the lock a moment before it listens.
    let mut last = Ok(());
    for _ in 0..20 {
        match Stream::connect(socket_name(folder, session)?) {
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
        let options = ListenerOptions::new().name(socket_name(&self.folder, &self.session)?).try_overwrite(true);
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

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_ui_common::Page;

    #[test]
    fn each_session_of_a_person_has_its_own_tray() {
        let folder = tempfile::tempdir().unwrap();
        let start = |screen| acquire(folder.path(), to_session_name(screen), &OpenRequest::Page(Page::Updates));
        let first = start(":0").unwrap();
        let StartResult::First(lock) = &first else { panic!("nobody else runs") };
        let (say, heard) = std::sync::mpsc::channel();
        lock.listen(move |request| drop(say.send(request))).unwrap();
        assert!(matches!(start(":1").unwrap(), StartResult::First(_)), "another session, another tray");
        assert!(matches!(start("wayland-1").unwrap(), StartResult::First(_)));
        assert!(matches!(start(":0.0").unwrap(), StartResult::AlreadyRunning), "the same screen");
        assert!(matches!(heard.recv().unwrap(), OpenRequest::Page(Page::Updates)));
    }
}

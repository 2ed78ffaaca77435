//! Single instance: each session of a person runs one tray. The first tray holds a file lock; a second one sends the
//! first what to show and exits. A person can have several sessions at once, such as one at the computer and one over a
//! remote desktop; each has a screen of its own, and so a tray of its own.
//!
//! The system releases the lock however the process ends, so no leftover file can keep a tray from starting.

use anyhow::{Context, Result, anyhow};
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

/// The longest path of a socket (bytes).
#[cfg(unix)]
const MAX_SOCKET_PATH: usize = 107;

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

/// Takes the lock in the first of these folders that can be used, or asks the running tray to show this.
///
/// # Errors
/// Fails when no folder can be used, or when the running tray does not respond.
pub(crate) fn acquire(folders: &[PathBuf], session: String, request: &OpenRequest) -> Result<StartResult> {
    let (folder, file) = open_lock(folders, &session)?;
    match file.try_lock() {
        Ok(()) => Ok(StartResult::First(InstanceLock { _file: file, folder, session })),
        Err(TryLockError::WouldBlock) => {
            send_to_running_tray(&folder, &session, request)
                .context("another Banyan tray is running but does not respond; end it, then start again")?;
            Ok(StartResult::AlreadyRunning)
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock a file in {}", folder.display()))
        }
    }
}

/// Opens the lock file in the first folder that can be used. The error is about the first folder.
fn open_lock(folders: &[PathBuf], session: &str) -> Result<(PathBuf, File)> {
    let mut first_error = None;
    for folder in folders {
        match open_lock_in(folder, session) {
            Ok(file) => return Ok((folder.clone(), file)),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| anyhow!("there is no folder for the tray's lock")))
}

fn open_lock_in(folder: &Path, session: &str) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let path = folder.join(format!("banyan-tray{session}.lock"));
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    #[cfg(unix)]
    check_folder(folder, &file, session)?;
    Ok(file)
}

/// Checks that the folder belongs to this person, and that its path has room for a socket.
#[cfg(unix)]
fn check_folder(folder: &Path, own_file: &File, session: &str) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let (me, owner) = (own_file.metadata()?.uid(), std::fs::metadata(folder)?.uid());
    if me != owner && me != 0 {
        anyhow::bail!("the folder {} belongs to another user", folder.display());
    }
    let length = folder.as_os_str().len() + format!("/banyan-tray{session}.sock").len();
    if length > MAX_SOCKET_PATH {
        anyhow::bail!("the folder {} has too long a path for a socket", folder.display());
    }
    Ok(())
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
        let folders = [folder.path().to_owned()];
        let start = |screen| acquire(&folders, to_session_name(screen), &OpenRequest::Page(Page::Updates));
        let first = start(":0").unwrap();
        let StartResult::First(lock) = &first else { panic!("nobody else runs") };
        let (say, heard) = std::sync::mpsc::channel();
        lock.listen(move |request| drop(say.send(request))).unwrap();
        assert!(matches!(start(":1").unwrap(), StartResult::First(_)), "another session, another tray");
        assert!(matches!(start("wayland-1").unwrap(), StartResult::First(_)));
        assert!(matches!(start(":0.0").unwrap(), StartResult::AlreadyRunning), "the same screen");
        assert!(matches!(heard.recv().unwrap(), OpenRequest::Page(Page::Updates)));
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_that_cannot_be_used_is_left_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (long, good) = (folder.path().join("d".repeat(100)), folder.path().join("good"));
        let start = |folders: &[&Path]| {
            let folders: Vec<PathBuf> = folders.iter().map(|&folder| folder.to_owned()).collect();
            acquire(&folders, String::new(), &OpenRequest::Page(Page::Updates))
        };
        let StartResult::First(lock) = start(&[&file.join("run"), &long, &good]).unwrap() else {
            panic!("nobody else runs")
        };
        lock.listen(drop).unwrap();
        assert!(matches!(start(&[&good]).unwrap(), StartResult::AlreadyRunning));
        let error = start(&[&file.join("run"), &long]).err().unwrap();
        assert!(error.to_string().contains("file/run"), "{error}");
    }
}

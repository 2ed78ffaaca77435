//! One tray for one person: the first holds a lock on a file; a second one tells the first what the window is to
//! show, and ends.
//!
//! The lock goes with the process however it ends, so nothing that was left behind keeps a tray from starting.

use anyhow::{Context, Result};
use banyan_face::Show;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, Stream, ToFsName, prelude::*};
use std::{
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Longest message (bytes): the path of a file.
const MESSAGE_BYTES: u64 = 16 << 10;

/// What the start found.
pub(crate) enum Start {
    /// Nobody else: this is the tray. The lock is held as long as this value lives.
    First(Lock),
    /// There is one already; it was told to open the window.
    Told,
}

/// That this process is the only one.
pub(crate) struct Lock {
    _file: File,
    folder: PathBuf,
}

/// Takes the lock, or tells who has it to show this.
///
/// # Errors
/// When the folder cannot be used, or the other one does not listen.
pub(crate) fn start(folder: &Path, show: &Show) -> Result<Start> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let path = folder.join("banyan-tray.lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Start::First(Lock { _file: file, folder: folder.to_owned() })),
        Err(TryLockError::WouldBlock) => {
            tell(folder, show).context("another Banyan tray runs, but it does not answer; end it and start again")?;
            Ok(Start::Told)
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn name(folder: &Path) -> std::io::Result<Name<'static>> {
    #[cfg(unix)]
    return folder.join("banyan-tray.sock").to_fs_name::<GenericFilePath>();
    #[cfg(not(unix))]
    return format!(r"\\.\pipe\banyan-tray-{}", std::env::var("USERNAME").unwrap_or_default())
        .to_fs_name::<GenericFilePath>();
}

fn tell(folder: &Path, show: &Show) -> std::io::Result<()> {
    let line =
        show.line().ok_or_else(|| std::io::Error::other("the file's name has characters that cannot be passed on"))?;
    // The first one has the lock a moment before it listens.
    let mut last = Ok(());
    for _ in 0..20 {
        match Stream::connect(name(folder)?) {
            Ok(mut stream) => return writeln!(stream, "{line}"),
            Err(error) => last = Err(error),
        }
        thread::sleep(Duration::from_millis(50));
    }
    last
}

impl Lock {
    /// Hears from second ones, from now on: `open` is called with what they want shown.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(crate) fn listen(&self, open: impl Fn(Show) + Send + 'static) -> Result<()> {
        let options = ListenerOptions::new().name(name(&self.folder)?).try_overwrite(true);
        #[cfg(unix)]
        let options = interprocess::os::unix::local_socket::ListenerOptionsExt::mode(options, 0o600);
        let listener = options.create_sync().context("cannot listen for further starts of the tray")?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut line = String::new();
                let read = BufReader::new(stream).take(MESSAGE_BYTES).read_line(&mut line);
                if let (Ok(_), Some(show)) = (read, Show::of(&line)) {
                    open(show);
                }
            }
        });
        Ok(())
    }
}

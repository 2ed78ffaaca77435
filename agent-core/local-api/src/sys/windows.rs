//! The functions for Windows.

use crate::sys::GroupAccess;
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, Name, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The address of the agent that runs as a service.
pub const SYSTEM_SOCKET: &str = r"\\.\pipe\banyan-agent";

/// The longest name of a pipe.
pub(crate) const MAX_SOCKET_PATH: usize = 256;

/// Whether the agent decides what a caller may do. The named pipe admits only the agent's user, administrators and the
/// system, and those have every right.
pub(crate) const CHECKS_CALLERS: bool = false;

/// Returns the name of the pipe for this data folder. All pipes share one namespace; the hash keeps agents apart.
fn own_name(data: &Path) -> io::Result<Name<'static>> {
    let folder = data.canonicalize()?;
    let hash = banyan_proto::Digest::of(folder.as_os_str().as_encoded_bytes());
    format!(r"\\.\pipe\banyan-agent-{}", hash.short()).to_fs_name::<GenericFilePath>()
}

/// Listens on the pipe for this data folder.
pub(crate) fn listen_own(data: &Path) -> io::Result<Listener> {
    ListenerOptions::new().name(own_name(data)?).try_overwrite(true).create_tokio()
}

/// Listens on a pipe of this name.
pub(crate) fn listen_shared(path: &Path) -> io::Result<Listener> {
    ListenerOptions::new().name(path.to_owned().to_fs_name::<GenericFilePath>()?).try_overwrite(true).create_tokio()
}

/// Returns `None`: the user at the other end of a pipe is not asked for.
pub(crate) fn peer_user(_stream: &Stream) -> Option<u32> {
    None
}

/// Returns 0: users have no numbers.
pub(crate) fn own_user() -> u32 {
    0
}

/// Returns the real path of a folder and creates what is missing. Access rights are the system administrator's
/// responsibility here.
pub(crate) fn ensure_private(path: &Path, _mode: u32, _group: GroupAccess) -> io::Result<PathBuf> {
    fs::create_dir_all(path)?;
    std::path::absolute(path)
}

/// Connects to the pipe of this data folder.
pub(crate) async fn connect_own(data: &Path) -> io::Result<Stream> {
    Stream::connect(own_name(data)?).await
}

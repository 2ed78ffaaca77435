//! Opens Unix sockets so that no other user can take the agent's place.

use crate::sys::{GroupAccess, unix::secure_directory::ensure_private};
use interprocess::{
    local_socket::{
        GenericFilePath, ListenerOptions, Name, ToFsName,
        tokio::{Listener, Stream, prelude::*},
    },
    os::unix::local_socket::ListenerOptionsExt,
};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The address of the agent that runs as a service.
pub const SYSTEM_SOCKET: &str = "/run/banyan/agent.sock";

/// Returns the name of the socket in this data folder.
pub(crate) fn own_name(data: &Path) -> io::Result<Name<'static>> {
    data.join("agent.sock").to_fs_name::<GenericFilePath>()
}

/// Listens on the socket in this data folder, for the agent's own user and root.
pub(crate) fn listen_own(data: &Path) -> io::Result<Listener> {
    ListenerOptions::new().name(own_name(data)?).try_overwrite(true).mode(0o600).create_tokio()
}

/// Listens on a socket for everyone at the machine. Rights depend on the caller's identity.
pub(crate) fn listen_shared(path: &Path) -> io::Result<Listener> {
    let path = prepare_socket_path(path)?;
    let listener = ListenerOptions::new().name(path.clone().to_fs_name::<GenericFilePath>()?).create_tokio()?;
    // Since the check, only the owners of the folder can have changed the name.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Returns the user at the other end of a connection; `None` when the system does not report it.
pub(crate) fn peer_user(stream: &Stream) -> Option<u32> {
    stream.peer_creds().ok().and_then(|credentials| credentials.euid())
}

/// Checks the socket's folder, and removes a socket on which nothing answers.
fn prepare_socket_path(path: &Path) -> io::Result<PathBuf> {
    let wrong = |kind, detail: String| io::Error::new(kind, detail);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(wrong(io::ErrorKind::InvalidInput, format!("{} is not a valid socket path", path.display())));
    };
    let folder = ensure_private(folder, 0o755, GroupAccess::Nobody).map_err(|error| {
        wrong(error.kind(), format!("the socket's folder (--socket) is not safe from other users: {error}"))
    })?;
    let me = nix::unistd::geteuid().as_raw();
    let path = folder.join(name);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() || !(there.uid() == me || me == 0) => {
            let detail = format!("{} exists and is not a socket of this agent; check it", path.display());
            return Err(wrong(io::ErrorKind::AlreadyExists, detail));
        }
        Ok(_) => {}
    }
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        return Err(wrong(io::ErrorKind::AddrInUse, format!("another agent is listening at {}", path.display())));
    }
    fs::remove_file(&path)?;
    Ok(path)
}

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
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// The address of the agent that runs as a service.
pub const SYSTEM_SOCKET: &str = "/run/banyan/agent.sock";

/// The longest path of a socket (bytes); the system takes no longer one.
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// The name of the socket in a data folder.
struct OwnSocket {
    name: Name<'static>,
    /// The open folder that a short name goes through.
    _folder: Option<fs::File>,
}

impl OwnSocket {
    /// Names the socket. A path that is too long for a socket goes through the open folder instead.
    fn in_folder(data: &Path) -> io::Result<Self> {
        let path = data.join("agent.sock");
        let length = path.as_os_str().len();
        if length <= MAX_SOCKET_PATH {
            return Ok(Self { name: path.to_fs_name::<GenericFilePath>()?, _folder: None });
        }
        let folder = fs::File::open(data)?;
        let through = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        if !through.exists() {
            let detail = format!(
                "{} is too long for a socket ({length} bytes, at most {MAX_SOCKET_PATH}); use a data folder with a \
                 shorter path",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
        }
        Ok(Self { name: through.join("agent.sock").to_fs_name::<GenericFilePath>()?, _folder: Some(folder) })
    }
}

/// Listens on the socket in this data folder, for the agent's own user and root.
pub(crate) fn listen_own(data: &Path) -> io::Result<Listener> {
    let socket = OwnSocket::in_folder(data)?;
    let options = ListenerOptions::new().name(socket.name.borrow()).try_overwrite(true).mode(0o600);
    // A short name is valid only until the folder is closed. What is left behind is overwritten at the next start.
    options.reclaim_name(socket._folder.is_none()).create_tokio()
}

/// Connects to the socket in this data folder.
pub(crate) async fn connect_own(data: &Path) -> io::Result<Stream> {
    let socket = OwnSocket::in_folder(data)?;
    Stream::connect(socket.name.borrow()).await
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

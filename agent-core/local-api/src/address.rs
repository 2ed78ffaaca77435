//! The address of the local API, and how it is opened so that no other user can impersonate the agent.
//!
//! The shared socket lies in a folder that only root and the agent's user can change, up to the root of the file
//! system. So no other user can place a link or socket there between two checks. An existing file is removed only if
//! it is a socket of this user that nothing answers on.

pub use crate::sys::SYSTEM_SOCKET;

use crate::sys;
use interprocess::local_socket::{
    GenericFilePath, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Checks that a path is short enough for a socket.
///
/// # Errors
/// How long it is, how long it may be, and what to do.
pub fn check_socket_path(path: &Path) -> Result<(), String> {
    let length = path.as_os_str().len();
    if length <= sys::MAX_SOCKET_PATH {
        return Ok(());
    }
    Err(format!(
        "the path of a socket has at most {} bytes, and this one has {length}; pass a shorter path, such as {SYSTEM_SOCKET}",
        sys::MAX_SOCKET_PATH
    ))
}

/// An address of the local API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// In the data folder: for the agent's own user and root.
    Own(PathBuf),
    /// For everyone at the machine: the path of the socket, or the pipe's name.
    Shared(PathBuf),
}

impl LocalAddress {
    /// Starts listening at this address.
    ///
    /// # Errors
    /// When others can change the folder, another file exists there, or another agent answers.
    pub fn listen(&self) -> io::Result<Listener> {
        match self {
            Self::Own(data) => sys::listen_own(data),
            Self::Shared(path) => sys::listen_shared(path),
        }
    }

    /// Connects to the agent at this address.
    ///
    /// # Errors
    /// When no agent answers, or this user may not connect.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Own(data) => sys::connect_own(data).await,
            Self::Shared(path) => Stream::connect(path.clone().to_fs_name::<GenericFilePath>()?).await,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }
    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn anyone_can_connect_and_a_dead_agents_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let address = LocalAddress::Shared(folder.path().join("run/agent.sock"));
        let first = address.listen().unwrap();
        assert_eq!(mode(&folder.path().join("run/agent.sock")), 0o666);
        assert_eq!(mode(&folder.path().join("run")) & 0o022, 0);
        assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::AddrInUse, "a socket in use is not replaced");
        // As after `kill -9`: the name remains, but nothing answers.
        std::mem::forget(first);
        let path = folder.path().join("run/dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        LocalAddress::Shared(path).listen().unwrap();
    }

    #[tokio::test]
    async fn a_strict_umask_does_not_lock_people_out() {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let folder = tempfile::tempdir().unwrap();
        let _listener = LocalAddress::Shared(folder.path().join("a/run/agent.sock")).listen().unwrap();
        let modes = ["a", "a/run", "a/run/agent.sock"].map(|name| mode(&folder.path().join(name)));
        assert_eq!(modes, [0o755, 0o755, 0o666]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_data_folder_with_a_long_path_is_reachable() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&data).unwrap();
        let address = LocalAddress::Own(data.clone());
        for _ in 0..2 {
            let listener = address.listen().unwrap();
            let (accepted, connected) = tokio::join!(listener.accept(), address.connect());
            assert!(accepted.is_ok() && connected.is_ok());
            assert_eq!(mode(&data.join("agent.sock")), 0o600);
        }
    }

    #[tokio::test]
    async fn a_socket_folder_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let address = LocalAddress::Shared(inner.join("agent.sock"));
        for (which, bad) in [(&inner, 0o777), (&inner, 0o775), (&inner, 0o1777)] {
            set(which, bad);
            assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{bad:o}");
        }
        set(&inner, 0o755);
        set(inner.parent().unwrap(), 0o777);
        assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::PermissionDenied, "further up");
        set(inner.parent().unwrap(), 0o1777);
        address.listen().unwrap();
    }

    #[tokio::test]
    async fn only_a_socket_is_ever_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("agent.sock"));
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let address = LocalAddress::Shared(path.clone());
        assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(address.listen().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            (fs::read_to_string(&precious).unwrap(), fs::read_to_string(&path).unwrap()),
            ("kept".into(), "mine".into())
        );
    }
}

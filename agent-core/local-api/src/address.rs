//! The address of the local API, and how it is opened so that no other user can impersonate the agent.
//!
//! The shared socket lies in a folder that only root and the agent's user can change, up to the root of the file
//! system. So no other user can place a link or socket there between two checks. An existing file is removed only if
//! it is a socket of this user that nothing answers on.

use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, Name, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The address of the agent that runs as a service.
#[cfg(unix)]
pub const SYSTEM_SOCKET: &str = "/run/banyan/agent.sock";
/// The address of the agent that runs as a service.
#[cfg(not(unix))]
pub const SYSTEM_SOCKET: &str = r"\\.\pipe\banyan-agent";

/// An address of the local API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the data folder: for the agent's own user and root.
    Own(PathBuf),
    /// For everyone at the machine: the path of the socket, or the pipe's name.
    Shared(PathBuf),
}

impl Place {
    fn name(&self) -> io::Result<Name<'static>> {
        match self {
            #[cfg(unix)]
            Self::Own(data) => data.join("agent.sock").to_fs_name::<GenericFilePath>(),
            #[cfg(not(unix))]
            Self::Own(data) => {
                // All pipes share one namespace; the hash keeps agents apart.
                let folder = data.canonicalize()?;
                let hash = banyan_proto::Digest::of(folder.as_os_str().as_encoded_bytes());
                format!(r"\\.\pipe\banyan-agent-{}", hash.short()).to_fs_name::<GenericFilePath>()
            }
            Self::Shared(path) => path.clone().to_fs_name::<GenericFilePath>(),
        }
    }

    /// Starts listening at this address.
    ///
    /// # Errors
    /// When others can change the folder, another file exists there, or another agent answers.
    pub fn listen(&self) -> io::Result<Listener> {
        #[cfg(unix)]
        if let Self::Shared(path) = self {
            let path = prepare(path)?;
            let listener = ListenerOptions::new().name(path.clone().to_fs_name::<GenericFilePath>()?).create_tokio()?;
            // Rights depend on the caller's identity. Since the check, only the owners of the folder can have changed
            // the name.
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
            return Ok(listener);
        }
        let options = ListenerOptions::new().name(self.name()?).try_overwrite(true);
        #[cfg(unix)]
        let options = interprocess::os::unix::local_socket::ListenerOptionsExt::mode(options, 0o600);
        options.create_tokio()
    }

    /// Connects to the agent at this address.
    ///
    /// # Errors
    /// When no agent answers, or this user may not connect.
    pub async fn connect(&self) -> io::Result<Stream> {
        Stream::connect(self.name()?).await
    }
}

#[cfg(unix)]
fn prepare(path: &Path) -> io::Result<PathBuf> {
    use crate::secure_directory::{self, Group};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let wrong = |kind, detail: String| io::Error::new(kind, detail);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(wrong(io::ErrorKind::InvalidInput, format!("{} is not a valid socket path", path.display())));
    };
    let folder = secure_directory::closed(folder, 0o755, Group::Nobody).map_err(|error| {
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
    std::fs::remove_file(&path)?;
    Ok(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }
    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn anyone_can_connect_and_a_dead_agents_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Shared(folder.path().join("run/agent.sock"));
        let first = place.listen().unwrap();
        assert_eq!(mode(&folder.path().join("run/agent.sock")), 0o666);
        assert_eq!(mode(&folder.path().join("run")) & 0o022, 0);
        assert_eq!(place.listen().unwrap_err().kind(), io::ErrorKind::AddrInUse, "a socket in use is not replaced");
        // As after `kill -9`: the name remains, but nothing answers.
        std::mem::forget(first);
        let path = folder.path().join("run/dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        Place::Shared(path).listen().unwrap();
    }

    #[tokio::test]
    async fn a_socket_folder_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let place = Place::Shared(inner.join("agent.sock"));
        for (which, bad) in [(&inner, 0o777), (&inner, 0o775), (&inner, 0o1777)] {
            set(which, bad);
            assert_eq!(place.listen().unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{bad:o}");
        }
        set(&inner, 0o755);
        set(inner.parent().unwrap(), 0o777);
        assert_eq!(place.listen().unwrap_err().kind(), io::ErrorKind::PermissionDenied, "further up");
        set(inner.parent().unwrap(), 0o1777);
        place.listen().unwrap();
    }

    #[tokio::test]
    async fn only_a_socket_is_ever_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, path) = (folder.path().join("precious"), folder.path().join("agent.sock"));
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let place = Place::Shared(path.clone());
        assert_eq!(place.listen().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        assert_eq!(place.listen().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            (fs::read_to_string(&precious).unwrap(), fs::read_to_string(&path).unwrap()),
            ("kept".into(), "mine".into())
        );
    }
}

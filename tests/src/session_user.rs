//! Other users of the test machine. Only root can switch to them.

use crate::TestNetwork;
use banyan_proto::local::{LOCAL_VERSION, Reply, Request, Right};
use nix::unistd::{Gid, Uid, geteuid, setegid, seteuid};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
};
use tempfile::TempDir;

/// Runs `what` as another user, for this whole process: nothing else may run in it meanwhile.
///
/// # Panics
/// When the process does not run as root.
pub fn as_user<T>(user: u32, what: impl FnOnce() -> T) -> T {
    assert!(geteuid().is_root(), "this test switches users, so it must run as root");
    setegid(Gid::from_raw(user)).expect("root can change its group");
    seteuid(Uid::from_raw(user)).expect("root can change its user");
    let done = what();
    seteuid(Uid::from_raw(0)).expect("the user can be changed back to root");
    setegid(Gid::from_raw(0)).expect("the group can be changed back to root's");
    done
}

/// A user with a session on a machine whose agent is a service.
pub struct SessionUser {
    /// Her user id.
    pub user: u32,
    /// The shared socket of the agent.
    pub socket: PathBuf,
    /// A folder that all users can read; it contains socket and sessions.
    pub folder: TempDir,
}

impl SessionUser {
    /// Restarts the machine's agent as a service for all users, with her session.
    ///
    /// # Panics
    /// When the agent does not start.
    #[must_use]
    pub fn log_in_at(network: &mut TestNetwork, which: usize) -> Self {
        let user = 41_001;
        let folder = TempDir::with_prefix("banyan-swarm-").expect("a temporary folder can be created");
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("the folder's mode can be set");
        let (socket, sessions) = (folder.path().join("run/agent.sock"), folder.path().join("sessions"));
        fs::create_dir(&sessions).expect("the folder is accessible");
        fs::write(sessions.join("c1"), format!("UID={user}\nSTATE=active\nREMOTE=0\nCLASS=user\n"))
            .expect("the file can be written");
        for (path, mode) in [(sessions.clone(), 0o755), (sessions.join("c1"), 0o644)] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("the folder's mode can be set");
        }
        let text = |path: &PathBuf| path.to_str().expect("the path is valid UTF-8").to_owned();
        network.agents[which].arguments =
            ["--socket", &text(&socket), "--sessions", &text(&sessions)].map(str::to_owned).to_vec();
        network.restart_agent(which);
        network.wait_until("the agent answers all users", |_| UnixStream::connect(&socket).is_ok());
        Self { user, socket, folder }
    }
    /// Returns her current rights.
    ///
    /// # Panics
    /// When the agent does not answer the greeting.
    #[must_use]
    pub fn rights(&self) -> Vec<Right> {
        let stream = as_user(self.user, || UnixStream::connect(&self.socket)).expect("any user can connect");
        let hello =
            serde_json::to_string(&Request::Hello { version: LOCAL_VERSION }).expect("the request can be serialised");
        writeln!(&stream, "{hello}").expect("the agent accepts the request");
        let line = BufReader::new(stream).lines().next().expect("the agent answers").expect("the agent answers");
        match serde_json::from_str(&line).expect("the answer is valid JSON") {
            Reply::Hello { rights, .. } => rights,
            other => panic!("{other:?}"),
        }
    }
}

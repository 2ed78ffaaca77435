//! Other users of the machine that a test runs on. Only root can take their place.

use crate::World;
use banyan_proto::local::{LOCAL_VERSION, Reply, Request, Right};
use nix::unistd::{Gid, Uid, geteuid, setegid, seteuid};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
};
use tempfile::TempDir;

/// Does something as another user, in this whole process: nothing else must be going on in it.
///
/// # Panics
/// When this process is not root's.
pub fn as_user<T>(user: u32, what: impl FnOnce() -> T) -> T {
    assert!(geteuid().is_root(), "this test takes the place of other users, which only root can");
    setegid(Gid::from_raw(user)).expect("root can be of any group");
    seteuid(Uid::from_raw(user)).expect("root can be anybody");
    let done = what();
    seteuid(Uid::from_raw(0)).expect("and root again");
    setegid(Gid::from_raw(0)).expect("and of root's group");
    done
}

/// Somebody with a session at a machine whose agent is a service.
pub struct Mia {
    /// Her number.
    pub user: u32,
    /// Where everybody at the machine finds the agent.
    pub socket: PathBuf,
    /// A folder that everybody can look into: socket and sessions are there.
    pub folder: TempDir,
}

impl Mia {
    /// Starts the machine's agent again as a service for everybody, with her session.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn sits_at(world: &mut World, which: usize) -> Self {
        let user = 41_001;
        let folder = TempDir::with_prefix("banyan-machine-").expect("a temporary folder");
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
        let (socket, sessions) = (folder.path().join("run/agent.sock"), folder.path().join("sessions"));
        fs::create_dir(&sessions).expect("a folder");
        fs::write(sessions.join("c1"), format!("UID={user}\nSTATE=active\nREMOTE=0\nCLASS=user\n")).expect("a file");
        for (path, mode) in [(sessions.clone(), 0o755), (sessions.join("c1"), 0o644)] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
        }
        let text = |path: &PathBuf| path.to_str().expect("plain names").to_owned();
        world.agents[which].arguments =
            ["--socket", &text(&socket), "--sessions", &text(&sessions)].map(str::to_owned).to_vec();
        world.kill_agent(which);
        world.start_agent(which);
        world.wait_until("it answers everybody", |_| UnixStream::connect(&socket).is_ok());
        world.wait_until("it is ready", |world| world.log_of(which).matches("ready").count() >= 2);
        Self { user, socket, folder }
    }
    /// What she may do now.
    ///
    /// # Panics
    /// When the agent does not greet her.
    #[must_use]
    pub fn rights(&self) -> Vec<Right> {
        let stream = as_user(self.user, || UnixStream::connect(&self.socket)).expect("everybody can knock");
        let hello = serde_json::to_string(&Request::Hello { version: LOCAL_VERSION }).expect("JSON");
        writeln!(&stream, "{hello}").expect("the agent reads");
        let line = BufReader::new(stream).lines().next().expect("an answer").expect("an answer");
        match serde_json::from_str(&line).expect("in JSON") {
            Reply::Hello { rights, .. } => rights,
            other => panic!("{other:?}"),
        }
    }
}

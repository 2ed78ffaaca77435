//! An agent that belongs to a person and to no server: the real program, run as a user who may do nothing but what everybody
//! may, in a folder of that user's. Takes root, who can be anybody.

use crate::{
    by_hand,
    programs::{self, Service},
};
use banyan_proto::{
    DeploymentId, Digest,
    api::ApiError,
    local::{Event, LOCAL_VERSION, Message, Package, Reply, Request, Snapshot, UpdateState},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use tempfile::TempDir;

/// Debian's `nobody`.
pub const NOBODY: u32 = 65_534;

/// The agent and its folders.
pub struct Alone {
    folder: TempDir,
    service: Option<Service>,
    /// More arguments, from its next start on.
    pub arguments: Vec<String>,
}

impl Alone {
    /// Starts it as this user.
    ///
    /// # Panics
    /// When this is not root, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("banyan-alone-").expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        // That user may not look into the folder that they were built in.
        for name in ["banyan-agent", "banyan-installer"] {
            fs::copy(programs::folder().join(name), folder.path().join(name)).expect("the programs are built");
        }
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder");
        chown(&home, Some(NOBODY), Some(NOBODY)).expect("only root can be somebody else");
        let mut alone = Self { folder, service: None, arguments: Vec::new() };
        alone.start_again();
        alone
    }
    /// Starts it after it was killed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let mut command = Command::new(self.folder.path().join("banyan-agent"));
        command
            .arg("--data")
            .arg(self.data())
            .args(["--listen", "127.0.0.1:0", "--name", "alone"])
            .args(&self.arguments);
        command.env("HOME", self.folder.path().join("home")).current_dir("/").uid(NOBODY).gid(NOBODY);
        self.service = Some(Service::start(command, &self.folder.path().join("log")));
        self.wait("it answers", |alone| UnixStream::connect(alone.socket()).is_ok());
    }
    /// `kill -9`.
    pub fn kill(&mut self) {
        self.service.take().into_iter().for_each(Service::kill);
    }
    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("home/agent")
    }
    fn socket(&self) -> PathBuf {
        self.data().join("agent.sock")
    }
    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).expect("the agent listens")
    }
    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
    /// What it says of a package file.
    ///
    /// # Errors
    /// Why it shows nothing.
    ///
    /// # Panics
    /// When it answers something else.
    pub fn open(&self, file: &[u8]) -> Result<Package, ApiError> {
        match by_hand::open(&self.connect(), file) {
            Reply::Package(package) => Ok(*package),
            Reply::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }
    /// Has it install a file, as the release that is in it.
    ///
    /// # Errors
    /// Why it does not.
    ///
    /// # Panics
    /// When it answers something else.
    pub fn install(&self, file: &[u8], trust: Option<Digest>) -> Result<DeploymentId, ApiError> {
        let shown = self.open(file).map_or(Digest([7; 32]), |package| package.manifest);
        match by_hand::install_trusting(&self.connect(), shown, trust, file) {
            Reply::Ordered { order } => Ok(order),
            Reply::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }
    /// Asks for something that it must do or refuse.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn ask(&self, request: &Request) -> Reply {
        let mut stream = self.connect();
        for request in [&Request::Hello { version: LOCAL_VERSION }, request] {
            writeln!(stream, "{}", serde_json::to_string(request).expect("JSON")).expect("the agent reads");
        }
        let mut lines = BufReader::new(stream).lines().skip(1);
        let reply = lines.next().expect("it answers").expect("it answers");
        serde_json::from_str(&reply).expect("in JSON")
    }
    /// Everything that it tells faces.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut stream = self.connect();
        for request in [Request::Hello { version: LOCAL_VERSION }, Request::Subscribe] {
            writeln!(stream, "{}", serde_json::to_string(&request).expect("JSON")).expect("the agent reads");
        }
        for line in BufReader::new(stream).lines() {
            let message = serde_json::from_str(&line.expect("the agent answers")).expect("in JSON");
            if let Message::Event(Event::Snapshot(snapshot)) = message {
                return *snapshot;
            }
        }
        panic!("the agent told nothing\n{}", self.log())
    }
    /// How a package ended, once it has.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn end_of(&self, order: DeploymentId) -> UpdateState {
        let state = |alone: &Self| {
            let update = alone.snapshot().updates.into_iter().find(|update| update.order == order);
            update.map(|update| update.state).filter(UpdateState::is_over)
        };
        self.wait("it ends", |alone| state(alone).is_some());
        state(self).expect("it has ended")
    }
    /// The folder that an installed package is in.
    #[must_use]
    pub fn installed(&self, package: &str) -> PathBuf {
        self.data().join("installer/packages").join(package).join("current")
    }
    /// What an installed program says; none when it is not there.
    #[must_use]
    pub fn says(&self, package: &str) -> Option<String> {
        let program: &Path = &self.installed(package).join("bin/hello");
        let output = Command::new(program).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
    /// Waits until it holds.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < crate::world::PATIENCE, "not in time: {what}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

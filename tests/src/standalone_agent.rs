//! A personal agent without a server, for tests: the real program, run as a user without special rights, in a folder of
//! that user's. Requires root to switch users.

use crate::{
    programs::{self, Service},
    sideload,
};
use banyan_proto::{
    Digest, OrderId,
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

/// The user id of Debian's `nobody`.
pub const NOBODY: u32 = 65_534;

/// The agent and its folders.
pub struct StandaloneAgent {
    folder: TempDir,
    service: Option<Service>,
    /// Extra arguments, used from its next start on.
    pub arguments: Vec<String>,
}

impl StandaloneAgent {
    /// Starts the agent as this user.
    ///
    /// # Panics
    /// When the test does not run as root, or the agent does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("banyan-alone-").expect("a temporary folder can be created");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the folder's mode can be set");
        // That user may not read the build folder.
        for name in ["banyan-agent", "banyan-install-helper"] {
            fs::copy(programs::folder().join(name), folder.path().join(name)).expect("the programs are built");
        }
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("the folder is accessible");
        chown(&home, Some(NOBODY), Some(NOBODY)).expect("the test runs as root");
        let mut agent = Self { folder, service: None, arguments: Vec::new() };
        agent.start_again();
        agent
    }
    /// Starts the agent again after it was killed.
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
        self.wait("the agent answers", Self::answers);
    }
    /// Kills the agent with `kill -9`.
    pub fn kill(&mut self) {
        self.service.take().into_iter().for_each(Service::kill);
    }
    /// Returns the agent's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("home/agent")
    }
    fn socket(&self) -> PathBuf {
        self.data().join("agent.sock")
    }
    /// Returns whether the agent answers. To connect is not enough: a child that an agent started just before it was killed
    /// keeps its socket open for a moment.
    fn answers(&self) -> bool {
        let hello = serde_json::to_string(&Request::Hello { version: LOCAL_VERSION }).expect("it can be serialised");
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let is_sent = writeln!(stream, "{hello}").is_ok();
        is_sent && BufReader::new(stream).lines().next().is_some_and(|line| line.is_ok())
    }
    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).expect("the agent listens")
    }
    /// Returns the agent's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
    /// Opens a package file and returns what the agent shows about it.
    ///
    /// # Errors
    /// The agent's refusal.
    ///
    /// # Panics
    /// On an unexpected reply.
    pub fn open(&self, file: &[u8]) -> Result<Package, ApiError> {
        match sideload::open(&self.connect(), file) {
            Reply::Package(package) => Ok(*package),
            Reply::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }
    /// Installs a package file, as the release that is in it. Returns the order's identifier.
    ///
    /// # Errors
    /// The agent's refusal.
    ///
    /// # Panics
    /// On an unexpected reply.
    pub fn install(&self, file: &[u8], trust: Option<Digest>) -> Result<OrderId, ApiError> {
        let shown = self.open(file).map_or(Digest([7; 32]), |package| package.manifest);
        match sideload::install_trusting(&self.connect(), shown, trust, file) {
            Reply::Ordered { order } => Ok(order),
            Reply::Error(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }
    /// Sends a request and returns the reply.
    ///
    /// # Panics
    /// When the agent does not answer.
    pub fn ask(&self, request: &Request) -> Reply {
        let mut stream = self.connect();
        for request in [&Request::Hello { version: LOCAL_VERSION }, request] {
            writeln!(stream, "{}", serde_json::to_string(request).expect("the request can be serialised"))
                .expect("the agent accepts the request");
        }
        let mut lines = BufReader::new(stream).lines().skip(1);
        let reply = lines.next().expect("the agent answers").expect("the agent answers");
        serde_json::from_str(&reply).expect("the answer is valid JSON")
    }
    /// Returns the agent's snapshot for tray and window.
    ///
    /// # Panics
    /// When the agent does not send one.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut stream = self.connect();
        for request in [Request::Hello { version: LOCAL_VERSION }, Request::Subscribe] {
            writeln!(stream, "{}", serde_json::to_string(&request).expect("the request can be serialised"))
                .expect("the agent accepts the request");
        }
        for line in BufReader::new(stream).lines() {
            let message = serde_json::from_str(&line.expect("the agent answers")).expect("the answer is valid JSON");
            if let Message::Event(Event::Snapshot(snapshot)) = message {
                return *snapshot;
            }
        }
        panic!("the agent sent no snapshot\n{}", self.log())
    }
    /// Waits until an install has ended, and returns its final state.
    ///
    /// # Panics
    /// When it does not end in time.
    #[must_use]
    pub fn end_of(&self, order: OrderId) -> UpdateState {
        let state = |agent: &Self| {
            let update = agent.snapshot().updates.into_iter().find(|update| update.order == order);
            update.map(|update| update.state).filter(UpdateState::is_over)
        };
        self.wait("the install ends", |agent| state(agent).is_some());
        state(self).expect("the install has ended")
    }
    /// Returns the folder of an installed package.
    #[must_use]
    pub fn installed(&self, package: &str) -> PathBuf {
        self.data().join("installer/packages").join(package).join("current")
    }
    /// Returns the output of an installed program, or `None` if it is not installed.
    #[must_use]
    pub fn says(&self, package: &str) -> Option<String> {
        let program: &Path = &self.installed(package).join("bin/hello");
        let output = Command::new(program).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
    /// Waits until the condition is met.
    ///
    /// # Panics
    /// When it is not met in time.
    pub fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < crate::test_network::PATIENCE, "timed out waiting for: {what}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

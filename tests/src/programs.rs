//! Locates the programs under test, and starts them so that they always end with the test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Returns the folder of the built programs: `BANYAN_BIN_DIR`, or the profile folder into which this one was built.
///
/// # Panics
/// When the programs have not been built.
#[must_use]
pub fn folder() -> PathBuf {
    // Programs are built into PROFILE, and tests into PROFILE/deps.
    let beside = || {
        let own = std::env::current_exe().expect("the program's own path is known");
        let mut folders = own.ancestors().skip(1).take(2);
        let found = folders.find(|folder| folder.join("banyan").exists());
        found.unwrap_or_else(|| own.parent().expect("a program is in a folder")).to_owned()
    };
    let folder = std::env::var_os("BANYAN_BIN_DIR").map_or_else(beside, PathBuf::from);
    let program = folder.join("banyan");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`, or build with --bins first", program.display());
    folder
}

/// Returns a command for the `banyan` program.
#[must_use]
pub fn banyan() -> Command {
    program("banyan")
}

/// Returns a command for the agent, the program that real machines run.
#[must_use]
pub fn agent() -> Command {
    program("banyan-agent")
}

/// Returns a command for the server, the program that real servers run.
#[must_use]
pub fn server() -> Command {
    program("banyan-server")
}

/// Returns a command whose environment holds nothing of the person who runs the tests: no locale, proxies, folders or
/// profile.
fn program(name: &str) -> Command {
    let mut command = Command::new(folder().join(name));
    command.env_clear().env("LANG", "C.UTF-8").env("HOME", "/nonexistent");
    for kept in ["PATH", "TMPDIR", "TZ", "RUST_BACKTRACE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// A service that ends when this value is dropped. When the test is killed, it ends because its standard input closes.
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts the service and appends its output to a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be opened");
        Self::start_writing(command, file, log)
    }
    /// Starts the service with a log that takes nothing, as on a full disk.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_without_log(command: Command) -> Self {
        let full = File::options().write(true).open("/dev/full").expect("the system has /dev/full");
        Self::start_writing(command, full, Path::new("/dev/null"))
    }
    fn start_writing(mut command: Command, file: File, log: &Path) -> Self {
        let child = command
            .arg("--exit-with-stdin")
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "info,banyan_wire=debug,agent_core=debug".into()),
            )
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("the handle can be cloned"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }
    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    /// Whether it is still running.
    ///
    /// # Panics
    /// When its status is not available.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the process status is available").is_none()
    }
    /// Kills it with `kill -9`.
    pub fn kill(mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
    /// Asks it to end and waits until it has.
    ///
    /// # Panics
    /// When it exits with an error.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("the process status is available");
        assert!(status.success(), "{status}; log:\n{}", self.log_text());
    }
    /// Returns its output so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

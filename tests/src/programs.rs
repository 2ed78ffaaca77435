//! Where the programs under test are, and how they are started so that they end with the test whatever happens.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The folder of the built programs: `BANYAN_BIN_DIR`, or the profile's folder that the test itself was built into.
///
/// # Panics
/// When the programs have not been built.
#[must_use]
pub fn folder() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("a test knows where it is");
        test.ancestors().nth(2).expect("tests are built into PROFILE/deps").to_owned()
    };
    let folder = std::env::var_os("BANYAN_BIN_DIR").map_or_else(beside, PathBuf::from);
    let program = folder.join("banyan");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`, or build with --bins first", program.display());
    folder
}

/// The `banyan` program.
#[must_use]
pub fn banyan() -> Command {
    Command::new(folder().join("banyan"))
}

/// The agent, the program that machines really run.
#[must_use]
pub fn agent() -> Command {
    Command::new(folder().join("banyan-agent"))
}

/// A service that ends when this value is dropped, and, since its standard input ends then, when the test is killed.
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it; what it says goes to the end of a file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log can be opened");
        let child = command
            .arg("--exit-with-stdin")
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "info,banyan_wire=debug,agent_core=debug".into()),
            )
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("a handle can be copied"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    /// Whether it still runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the system knows its children").is_none()
    }
    /// `kill -9`.
    pub fn kill(mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
    /// Asks it to end and waits until it has.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("the system knows its children");
        assert!(status.success(), "{status}; log:\n{}", self.log_text());
    }
    /// What it said so far.
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

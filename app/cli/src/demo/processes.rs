//! Starts, watches and stops the demo's child processes.
//!
//! The standard input of each child is a pipe, and the child exits when the pipe is closed. If this process is killed,
//! the system closes the pipes, so the children exit too.

use crate::{
    output::{Failure, Tried as _},
    platform,
};
use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

/// How long a child may take to exit before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A child that exited unexpectedly.
#[derive(Debug)]
pub(super) struct Ended {
    /// The child's name.
    pub(super) name: String,
    /// The exit status, as text.
    pub(super) status: String,
}

/// All child processes of one demo.
pub(super) struct Fleet {
    folder: PathBuf,
    ended: mpsc::UnboundedSender<Ended>,
    /// Dropped to stop each child.
    stops: Vec<oneshot::Sender<()>>,
    keepers: JoinSet<()>,
}

/// Returns the path of a child's log file.
pub(super) fn log_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

impl Fleet {
    /// Creates a fleet without children. The receiver reports children that exit unexpectedly.
    pub(super) fn new(folder: &Path) -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Self { folder: folder.to_owned(), ended, stops: Vec::new(), keepers: JoinSet::new() }, ends)
    }
    /// Starts this program again with other arguments, and its output in a log file in the folder.
    pub(super) fn start<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(
        &mut self,
        name: &str,
        args: I,
    ) -> Result<(), Failure> {
        let tried = || format!("start {name}");
        let mut command = Command::new(std::env::current_exe().tried(tried)?);
        command.args(args);
        self.spawn(name, command)
    }
    fn spawn(&mut self, name: &str, mut command: Command) -> Result<(), Failure> {
        let tried = || format!("start {name}");
        let log = std::fs::File::create(log_of(&self.folder, name)).tried(tried)?;
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().tried(tried)?)
            .stderr(log)
            .env_remove("BANYAN_PROFILE")
            .kill_on_drop(true);
        platform::apart(&mut command);
        let mut child = command.spawn().tried(tried)?;
        // The pipe is taken out first, because waiting for a child closes the pipe if the child still owns it.
        let pipe = child.stdin.take();
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.keepers.spawn(keep(name.to_owned(), child, pipe, stopped, self.ended.clone()));
        Ok(())
    }
    /// Stops all children and waits until they have exited.
    pub(super) async fn stop(mut self) {
        self.stops.clear();
        while self.keepers.join_next().await.is_some() {}
    }
}

/// Watches one child until it has exited.
async fn keep(
    name: String,
    mut child: Child,
    pipe: Option<ChildStdin>,
    stopped: oneshot::Receiver<()>,
    ended: mpsc::UnboundedSender<Ended>,
) {
    tokio::select! {
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
            // The receiver is gone when the demo is over.
            let _ = ended.send(Ended { name, status });
        }
        _ = stopped => {
            drop(pipe);
            if timeout(GRACE, child.wait()).await.is_err() {
                // The child may have exited meanwhile; then there is nothing to kill.
                let _ = child.kill().await;
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }
    /// Waits until the log contains this line.
    async fn logged(folder: &Path, name: &str, line: &str) {
        let there = async {
            while !std::fs::read_to_string(log_of(folder, name)).unwrap_or_default().contains(line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), there).await.expect("the child logged this line in time");
    }

    #[tokio::test]
    async fn a_child_that_ends_by_itself_is_named_with_its_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        let (mut fleet, mut ends) = Fleet::new(folder.path());
        fleet.spawn("short", shell("exit 7")).unwrap();
        let ended = timeout(Duration::from_secs(10), ends.recv()).await.unwrap().unwrap();
        assert_eq!(ended.name, "short");
        assert!(ended.status.contains('7'), "{}", ended.status);
        fleet.stop().await;
    }

    #[tokio::test]
    async fn children_end_in_good_order_when_their_input_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (mut fleet, mut ends) = Fleet::new(folder.path());
        fleet.spawn("polite", shell("echo ready; read -r line; echo bye")).unwrap();
        logged(folder.path(), "polite", "ready").await;
        fleet.stop().await;
        let log = std::fs::read_to_string(log_of(folder.path(), "polite")).unwrap();
        assert!(log.contains("bye"), "{log:?}");
        assert!(ends.recv().await.is_none(), "a requested exit was reported as unexpected");
    }

    #[tokio::test]
    async fn a_child_that_does_not_listen_is_ended_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let (mut fleet, _ends) = Fleet::new(folder.path());
        fleet.spawn("deaf", shell("trap '' TERM; echo pid=$$; exec sleep 600")).unwrap();
        logged(folder.path(), "deaf", "pid=").await;
        let log = std::fs::read_to_string(log_of(folder.path(), "deaf")).unwrap();
        let pid = log.trim().strip_prefix("pid=").unwrap().to_owned();
        fleet.stop().await;
        assert!(!Path::new("/proc").join(pid).exists(), "the child is still running");
    }
}

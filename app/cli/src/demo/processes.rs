//! Starts, watches and stops the demo's child processes.
//!
//! The standard input of each child is a pipe, and the child exits when the pipe is closed. If this process is killed,
//! the system closes the pipes, so the children exit too.

use crate::{
    output::{Failure, WithContext as _},
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
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A child that exited unexpectedly.
#[derive(Debug)]
pub(super) struct UnexpectedExit {
    /// The child's name.
    pub(super) name: String,
    /// The exit status, as text.
    pub(super) status: String,
}

/// All child processes of one demo.
pub(super) struct DemoProcesses {
    folder: PathBuf,
    ended: mpsc::UnboundedSender<UnexpectedExit>,
    /// Dropped to stop each child.
    stops: Vec<oneshot::Sender<()>>,
    supervisors: JoinSet<()>,
}

/// Returns the path of a child's log file.
pub(super) fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

impl DemoProcesses {
    /// Creates a fleet without children. The receiver reports children that exit unexpectedly.
    pub(super) fn new(folder: &Path) -> (Self, mpsc::UnboundedReceiver<UnexpectedExit>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Self { folder: folder.to_owned(), ended, stops: Vec::new(), supervisors: JoinSet::new() }, ends)
    }
    /// Starts this program again with other arguments, and its output in a log file in the folder.
    pub(super) fn start<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(
        &mut self,
        name: &str,
        args: I,
    ) -> Result<(), Failure> {
        let action = || format!("start {name}");
        let mut command = Command::new(std::env::current_exe().with_context(action)?);
        command.args(args);
        self.spawn(name, command)
    }
    fn spawn(&mut self, name: &str, mut command: Command) -> Result<(), Failure> {
        let action = || format!("start {name}");
        let log = std::fs::File::create(log_path(&self.folder, name)).with_context(action)?;
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone().with_context(action)?)
            .stderr(log)
            .env_remove("BANYAN_PROFILE")
            .kill_on_drop(true);
        platform::put_into_own_process_group(&mut command);
        let mut child = command.spawn().with_context(action)?;
        // The pipe is taken out first, because waiting for a child closes the pipe if the child still owns it.
        let pipe = child.stdin.take();
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.supervisors.spawn(supervise(name.to_owned(), child, pipe, stopped, self.ended.clone()));
        Ok(())
    }
    /// Stops all children and waits until they have exited.
    pub(super) async fn stop(mut self) {
        self.stops.clear();
        while self.supervisors.join_next().await.is_some() {}
    }
}

/// Watches one child until it has exited.
async fn supervise(
    name: String,
    mut child: Child,
    pipe: Option<ChildStdin>,
    stopped: oneshot::Receiver<()>,
    ended: mpsc::UnboundedSender<UnexpectedExit>,
) {
    tokio::select! {
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string());
            // The receiver is gone when the demo is over.
            let _ = ended.send(UnexpectedExit { name, status });
        }
        _ = stopped => {
            drop(pipe);
            if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
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
            while !std::fs::read_to_string(log_path(folder, name)).unwrap_or_default().contains(line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), there).await.expect("the child logged this line in time");
    }

    #[tokio::test]
    async fn a_child_that_ends_by_itself_is_named_with_its_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        let (mut processes, mut ends) = DemoProcesses::new(folder.path());
        processes.spawn("short", shell("exit 7")).unwrap();
        let ended = timeout(Duration::from_secs(10), ends.recv()).await.unwrap().unwrap();
        assert_eq!(ended.name, "short");
        assert!(ended.status.contains('7'), "{}", ended.status);
        processes.stop().await;
    }

    #[tokio::test]
    async fn children_end_in_good_order_when_their_input_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (mut processes, mut ends) = DemoProcesses::new(folder.path());
        processes.spawn("polite", shell("echo ready; read -r line; echo bye")).unwrap();
        logged(folder.path(), "polite", "ready").await;
        processes.stop().await;
        let log = std::fs::read_to_string(log_path(folder.path(), "polite")).unwrap();
        assert!(log.contains("bye"), "{log:?}");
        assert!(ends.recv().await.is_none(), "a requested exit was reported as unexpected");
    }

    #[tokio::test]
    async fn a_child_that_does_not_listen_is_ended_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let (mut processes, _ends) = DemoProcesses::new(folder.path());
        processes.spawn("deaf", shell("trap '' TERM; echo pid=$$; exec sleep 600")).unwrap();
        logged(folder.path(), "deaf", "pid=").await;
        let log = std::fs::read_to_string(log_path(folder.path(), "deaf")).unwrap();
        let pid = log.trim().strip_prefix("pid=").unwrap().to_owned();
        processes.stop().await;
        assert!(!Path::new("/proc").join(pid).exists(), "the child is still running");
    }
}

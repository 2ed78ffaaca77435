//! The demo's child processes: started, watched, ended in good order and, if need be, by force.
//!
//! Each child gets the end of a pipe as its standard input and ends when that is closed. So it also ends when this
//! process is killed and can close nothing any more: the system does it.

use crate::{
    failure::{Failure, Tried as _},
    system,
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

/// How long a child may take to end in good order.
const GRACE: Duration = Duration::from_secs(5);

/// A child that ended though nobody asked it to.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which.
    pub(super) name: String,
    /// How.
    pub(super) status: String,
}

/// All children of one demo.
pub(super) struct Fleet {
    folder: PathBuf,
    ended: mpsc::UnboundedSender<Ended>,
    /// Dropped to ask each child to end.
    stops: Vec<oneshot::Sender<()>>,
    keepers: JoinSet<()>,
}

/// Where a child's output goes.
pub(super) fn log_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

impl Fleet {
    /// A fleet without children, and where those are named that end by themselves.
    pub(super) fn new(folder: &Path) -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (ended, ends) = mpsc::unbounded_channel();
        (Self { folder: folder.to_owned(), ended, stops: Vec::new(), keepers: JoinSet::new() }, ends)
    }
    /// Starts this program again with other arguments; its output goes to a log in the folder.
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
        system::apart(&mut command);
        let mut child = command.spawn().tried(tried)?;
        // Waiting for a child closes the pipe if the child still has it.
        let pipe = child.stdin.take();
        let (stop, stopped) = oneshot::channel();
        self.stops.push(stop);
        self.keepers.spawn(keep(name.to_owned(), child, pipe, stopped, self.ended.clone()));
        Ok(())
    }
    /// Ends all children and waits until they are gone.
    pub(super) async fn stop(mut self) {
        self.stops.clear();
        while self.keepers.join_next().await.is_some() {}
    }
}

/// Looks after one child until it is gone.
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
            // Nobody listens any more when the demo is at its end.
            let _ = ended.send(Ended { name, status });
        }
        _ = stopped => {
            drop(pipe);
            if timeout(GRACE, child.wait()).await.is_err() {
                // It may have ended in this very moment; then there is nothing to kill.
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
    /// Waits until the log has this line.
    async fn logged(folder: &Path, name: &str, line: &str) {
        let there = async {
            while !std::fs::read_to_string(log_of(folder, name)).unwrap_or_default().contains(line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), there).await.expect("the child wrote nothing");
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
        assert!(ends.recv().await.is_none(), "an asked-for end was told as a failure");
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
        assert!(!Path::new("/proc").join(pid).exists(), "it still runs");
    }
}

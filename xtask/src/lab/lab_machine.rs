//! A machine with its own root: an overlay over this system's, so that it has everything that is here and changes
//! nothing here. Its dpkg database, its folders and its installed software are its own.
//!
//! Its mounts are in a private mount namespace that its first process holds and all its other processes join. They are
//! invisible outside, and disappear with all written data when the last of those processes ends. So no unmounting is
//! needed, however the lab ended.

use crate::command::{read, works};
use crate::lab::{
    environment::{LabEnvironment, Process, wait_for},
    network::virtual_network::{Host, path},
};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The lab's own folder on the machine.
const HOME: &str = "/banyan-lab";

/// Arguments: an empty folder, the machine's disk space in bytes, the folder with the programs, the lab's folder on the
/// machine. Written data is kept in memory, wherever the empty folder is: an overlay cannot store its changes within
/// what it covers.
const SCRIPT: &str = r#"set -e
mount -t tmpfs -o "size=$2,mode=0755" tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay root
cd root
for folder in dev proc sys; do mount --bind "/$folder" "$folder"; done
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs run
mkdir ".$4" ".$4/programs"
mount --bind "$3" ".$4/programs"
mkdir ".$4/up"
exec sleep infinity"#;

/// A running machine. Dropping it ends its first process.
pub(crate) struct LabMachine {
    /// The machine's root, as seen from within its mount namespace.
    root: PathBuf,
    first: Process,
}

impl LabMachine {
    /// Starts the machine with `room` bytes for written data, and waits until everything is mounted.
    pub(crate) fn start(lab: &LabEnvironment, host: &Host, room: u64, programs: &Path) -> Result<Self> {
        let folder = lab.dir.join(&host.label);
        std::fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut command = host.command("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "machine"]);
        command.arg(&folder).arg(room.to_string()).arg(programs).arg(HOME).env("PATH", path());
        let mut machine = Self { root: folder.join("root"), first: lab.spawn(&host.label, &mut command)? };
        wait_for("the machine's root to be mounted", Duration::from_secs(30), || {
            machine.first.check_running()?;
            Ok(works(machine.command("test").args(["-d", &format!("{HOME}/up")])).then_some(()))
        })?;
        Ok(machine)
    }

    /// Returns a command that runs on this machine: in its network, on its root.
    ///
    /// Joining the namespaces and changing the root replace the process and start none, so killing the child kills the
    /// program. Before the root is mounted there is nothing below it to run, so this never runs anything on the
    /// system's own root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--net", "--target", &self.first.id().to_string(), "chroot"]);
        command.arg(&self.root).arg(program).env("PATH", path());
        command
    }

    /// Returns a command for one of the programs under test, such as `banyan-agent`.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.command(format!("{HOME}/programs/{name}"))
    }

    /// Returns the path outside of a path on the machine.
    pub(crate) fn seen_from_here(&self, path: &str) -> PathBuf {
        let inside = self.root.join(path.trim_start_matches('/'));
        PathBuf::from(format!("/proc/{}/root{}", self.first.id(), inside.display()))
    }

    /// Returns the folder on the machine for the agent's data.
    pub(crate) fn data() -> String {
        format!("{HOME}/agent")
    }

    /// Returns the package's status and version from this machine's dpkg database.
    pub(crate) fn package(&self, name: &str) -> String {
        state(self.command("dpkg-query"), name)
    }

    /// Fails if the machine is down.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        self.first.check_running()
    }
}

/// Returns the package's status and version from this system's own database.
pub(crate) fn package_here(name: &str) -> String {
    state(Command::new("dpkg-query"), name)
}

fn state(mut query: Command, name: &str) -> String {
    // dpkg-query fails for an unknown package.
    read(query.args(["--show", "--showformat=${db:Status-Status} ${Version}", name]))
        .unwrap_or_else(|_| "not-installed".into())
}

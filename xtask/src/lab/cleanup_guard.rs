//! The guard: takes a lab down when the process that created it has ended: finished, failed, interrupted or killed.
//!
//! The guard is a separate process in its own process group (Ctrl-C does not reach it) that waits for the end of its
//! standard input. Only the lab's process holds the pipe's other end, so the pipe always closes. Everything the lab
//! started runs in namespaces whose names begin with the lab's prefix, which is how the guard finds it. The machines'
//! mounts are in namespaces that end with those processes.

use crate::command::{read, works};
use crate::lab::processor_group;
use anyhow::{Context, Result, bail};
use std::{
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What to take down.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Prefix of the namespaces' names
    #[arg(long)]
    prefix: String,
    /// The lab's folder
    #[arg(long)]
    dir: PathBuf,
}

/// The lab's handle of the guard. Dropping it takes the lab down and waits until that is done.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start(prefix: &str, dir: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["lab-guard", "--prefix", prefix, "--dir"]).arg(dir);
        command.stdin(Stdio::piped()).process_group(0);
        Ok(Self(command.spawn().context("cannot start the lab's guard")?))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // A read error also means that the lab's process has ended.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for namespace in namespaces(&options.prefix)? {
        empty(&namespace);
        read(Command::new("ip").args(["netns", "delete", &namespace]))?;
    }
    // If the lab was killed, this is the last process of its group.
    processor_group::leave();
    // A machine's root must never be mounted here: removing files through it would remove this system's own.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
    if let Some(mount) = mounted_below(&mounts, &options.dir) {
        bail!("{mount} is mounted, so {} was not removed; unmount it, then remove the folder", options.dir.display());
    }
    match std::fs::remove_dir_all(&options.dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", options.dir.display()))
        }
        _ => Ok(()),
    }
}

fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let list = read(Command::new("ip").args(["netns", "list"]))?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}

/// Finds a mount point at or below this folder (the fifth word of a line).
fn mounted_below<'a>(mountinfo: &'a str, dir: &Path) -> Option<&'a str> {
    let mut places = mountinfo.lines().filter_map(|line| line.split_whitespace().nth(4));
    places.find(|place| Path::new(place).starts_with(dir))
}

/// Kills every process in a namespace, and waits until all have ended.
fn empty(namespace: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let pids = read(Command::new("ip").args(["netns", "pids", namespace])).unwrap_or_default();
        if pids.is_empty() {
            return;
        }
        works(Command::new("kill").arg("-9").args(pids.split_whitespace()));
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("processes in the network namespace {namespace} did not end");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_inside_the_folder_are_found() {
        let text = "22 1 254:0 / / rw - ext4 /dev/vda rw\n27 22 0:24 / /dev/shm rw - tmpfs tmpfs rw\n\
                    30 27 0:30 / /dev/shm/lab-1/m01/root rw - overlay overlay rw\n";
        assert_eq!(mounted_below(text, Path::new("/dev/shm/lab-1")), Some("/dev/shm/lab-1/m01/root"));
        assert_eq!(mounted_below(text, Path::new("/dev/shm/lab-10")), None);
    }
}

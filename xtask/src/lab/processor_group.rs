//! A control group for the lab's processes: they take precedence over other work on this system, and their processor
//! time is counted apart from it.
//!
//! Only control groups of version 1 are used. Where there are none, or the kernel refuses, the lab runs without.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};

/// The controllers that weigh processes and that count their time.
const CONTROLLERS: [&str; 2] = ["cpu", "cpuacct"];
const ROOT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "banyan-lab-";
/// The greatest weight; the usual one is 1024.
const SHARES: &str = "262144";

/// The group. This process and all that it starts are in it. Dropping it leaves the group.
pub(crate) struct ProcessorGroup(());

impl ProcessorGroup {
    pub(crate) fn enter() -> Self {
        for controller in CONTROLLERS {
            let folder = Path::new(ROOT).join(controller).join(format!("{PREFIX}{}", process::id()));
            // Where both controllers are one folder, the second attempt finds the group.
            if fs::create_dir(&folder).is_ok() || folder.is_dir() {
                // Without precedence, the lab still runs.
                let _ = fs::write(folder.join("cpu.shares"), SHARES);
                move_to(&folder);
            }
        }
        Self(())
    }
}

impl Drop for ProcessorGroup {
    fn drop(&mut self) {
        leave();
    }
}

/// Moves this process out of the lab's group, and removes the group if no process is left in it.
pub(crate) fn leave() {
    for controller in CONTROLLERS {
        if let Some(folder) = own(controller) {
            move_to(&Path::new(ROOT).join(controller));
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The group's processor time at a moment.
pub(crate) struct ProcessorTime {
    used: Duration,
    at: Instant,
}

impl ProcessorTime {
    /// Returns the time so far of the group that this process is in; `None` if it is in none.
    pub(crate) fn now() -> Option<Self> {
        let text = fs::read_to_string(own("cpuacct")?.join("cpuacct.usage")).ok()?;
        Some(Self { used: Duration::from_nanos(text.trim().parse().ok()?), at: Instant::now() })
    }
    /// Returns the share of all processors that the group used since then, 0 to 1.
    pub(crate) fn share_since(&self, then: &Self) -> f64 {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let seconds = (self.at - then.at).as_secs_f64().max(1e-3);
        self.used.saturating_sub(then.used).as_secs_f64() / seconds / processors
    }
}

/// Returns the folder of the lab's group that this process is in.
fn own(controller: &str) -> Option<PathBuf> {
    let name = group_of(&fs::read_to_string("/proc/self/cgroup").ok()?, controller)?.to_owned();
    Some(Path::new(ROOT).join(controller).join(name))
}

/// Finds the lab's group in the text of `/proc/self/cgroup`: lines of number, controllers and path.
fn group_of<'a>(text: &'a str, controller: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let name = path.strip_prefix('/')?;
        (controllers.split(',').any(|one| one == controller) && name.starts_with(PREFIX)).then_some(name)
    })
}

fn move_to(group: &Path) {
    let _ = fs::write(group.join("cgroup.procs"), process::id().to_string());
}

#[cfg(test)]
mod tests {
    use super::group_of;

    #[test]
    fn only_the_labs_own_group_is_found() {
        let text = "4:cpu,cpuacct:/banyan-lab-7\n3:cpuset:/\n2:pids:/user.slice\n0::/\n";
        assert_eq!(group_of(text, "cpuacct"), Some("banyan-lab-7"));
        assert_eq!(group_of(text, "pids"), None);
        assert_eq!(group_of("4:cpu:/\n", "cpu"), None);
    }
}

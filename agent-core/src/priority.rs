//! Giving way to everybody else's work on the machine: by the processor, and by the disk, whose turns the kernel deals by
//! the same number (ioprio_set(2): without a class of its own a process has level `(nice + 20) / 5` of 0..=7).
//!
//! The agent and its installers give way, unless somebody waits: a deadline has passed, or a person said "now". Going back
//! up takes rights that a service without privileges may not have (`RLIMIT_NICE`, `LimitNICE=+0` in a systemd unit); where
//! it is refused, the work is done all the same, only later where the machine is busy. What an installer starts and leaves
//! running, and no service manager starts in its place, keeps the installer's number.

/// Beside a program that does not give way this is about a tenth of the processor, and level 6 of the disk's.
#[cfg(target_os = "linux")]
const GIVES_WAY: i32 = 10;

/// Whether all threads of this process give way from now on, and what they start.
#[cfg(target_os = "linux")]
pub fn give_way(gives_way: bool) {
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    // Whoever started it may have told it to give way even more.
    let number = if gives_way { getpriority_process(None).unwrap_or(0).max(GIVES_WAY) } else { 0 };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = threads.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let refused = threads.filter_map(|thread| setpriority_process(Some(thread), number).err()).next();
    if let Some(error) = refused {
        tracing::debug!(%error, number, "the priority stays what it is");
    }
}

/// Other systems have other ways, which are not taken yet.
#[cfg(not(target_os = "linux"))]
pub fn give_way(_: bool) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The numbers of all threads, out of `/proc/self/task/TID/stat`.
    fn numbers() -> Vec<i32> {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
        let number = |text: String| text.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok();
        threads.filter_map(stat).filter_map(number).collect()
    }

    #[test]
    fn all_threads_give_way_and_what_is_started_afterwards() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        give_way(true);
        let all = numbers();
        assert!(all.len() >= 2 && all.iter().all(|number| *number >= GIVES_WAY), "{all:?}");
        let started = std::process::Command::new("nice").output().unwrap();
        let its: i32 = String::from_utf8_lossy(&started.stdout).trim().parse().unwrap();
        assert!(its >= GIVES_WAY, "{its}");
        drop(go);
        drop(other.join());
    }
}

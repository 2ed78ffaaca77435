//! Sets the priority of this process below other work on the machine: its CPU priority, and with it its disk priority.
//! The kernel derives the disk priority from the nice value (ioprio_set(2): a process without an I/O class has level
//! `(nice + 20) / 5` of 0..=7).
//!
//! The agent and its install helpers run at low priority unless work is urgent: a deadline has passed, or a user said
//! "now". Raising the priority needs rights that an unprivileged service may lack (`RLIMIT_NICE`, `LimitNICE=+0` in a
//! systemd unit). Without them the work is still done, but later on a busy machine. A program that an install helper
//! leaves running keeps the install helper's nice value, unless a service manager starts it.

/// Next to a program at normal priority, this gets about a tenth of the processor, and level 6 for the disk.
#[cfg(target_os = "linux")]
const LOW_NICE_VALUE: i32 = 10;

/// Lowers or restores the priority of all threads of this process and of processes started later.
#[cfg(target_os = "linux")]
pub fn set_low_priority(low: bool) {
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    // The process may have been started with an even lower priority.
    let number = if low { getpriority_process(None).unwrap_or(0).max(LOW_NICE_VALUE) } else { 0 };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let threads = threads.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let refused = threads.filter_map(|thread| setpriority_process(Some(thread), number).err()).next();
    if let Some(error) = refused {
        tracing::debug!(%error, number, "priority not changed");
    }
}

/// Does nothing: priorities are only implemented on Linux so far.
#[cfg(not(target_os = "linux"))]
pub fn set_low_priority(_: bool) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Returns the nice values of all threads, from `/proc/self/task/TID/stat`.
    fn numbers() -> Vec<i32> {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
        let number = |text: String| text.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok();
        threads.filter_map(stat).filter_map(number).collect()
    }

    #[test]
    fn low_priority_applies_to_all_threads_and_later_processes() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        set_low_priority(true);
        let all = numbers();
        assert!(all.len() >= 2 && all.iter().all(|number| *number >= LOW_NICE_VALUE), "{all:?}");
        let started = std::process::Command::new("nice").output().unwrap();
        let its: i32 = String::from_utf8_lossy(&started.stdout).trim().parse().unwrap();
        assert!(its >= LOW_NICE_VALUE, "{its}");
        drop(go);
        drop(other.join());
    }
}

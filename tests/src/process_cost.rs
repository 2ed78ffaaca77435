//! Measures the cost of a process from Linux's counters.

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, path::Path};

/// The memory of a process (bytes).
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident memory.
    pub all: u64,
    /// Private memory. For [`Memory::of`], without file pages, which the system can reclaim at any time. For
    /// [`Memory::private`], without pages that another process has mapped too.
    pub own: u64,
}

impl Memory {
    /// Measures current memory, without file pages.
    ///
    /// # Panics
    /// When the process does not exist.
    #[must_use]
    pub fn of(id: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
        Self { all: field(&status, "VmRSS:"), own: field(&status, "RssAnon:") }
    }
    /// Measures current memory, without shared pages such as libraries.
    ///
    /// # Panics
    /// When the process does not exist.
    #[must_use]
    pub fn private(id: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("the process runs");
        Self { all: field(&maps, "Rss:"), own: field(&maps, "Private_Clean:") + field(&maps, "Private_Dirty:") }
    }
    /// Returns the larger of each value.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { all: self.all.max(other.all), own: self.own.max(other.own) }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the counter exists");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}, {:.1}", mib(self.all), mib(self.own))
    }
}

/// Returns the most resident memory that the process has had so far (bytes).
///
/// # Panics
/// When the process does not exist.
#[must_use]
pub fn peak_memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    field(&status, "VmHWM:")
}

/// How often each thread of a process has gone to sleep voluntarily, which equals how often it woke up.
#[derive(Debug, Clone, Default)]
pub struct WakeUps(BTreeMap<OsString, u64>);

impl WakeUps {
    /// Counts until now.
    ///
    /// # Panics
    /// When the process does not exist.
    #[must_use]
    pub fn of(id: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
        let of = |thread: &Path| {
            let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        Self(threads.flatten().map(|thread| (thread.file_name(), of(&thread.path()))).collect())
    }
    /// Returns the sum over all threads since `before`. Threads that have ended meanwhile are not counted.
    #[must_use]
    pub fn since(&self, before: &Self) -> u64 {
        self.0.iter().map(|(thread, woke)| woke - before.0.get(thread).unwrap_or(&0)).sum()
    }
}

/// Returns the processor time of the process so far, in hundredths of a second.
///
/// # Panics
/// When the process does not exist.
#[must_use]
pub fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    ticks_in(&stat)
}

/// Returns the same for the processes that it started and that have ended.
///
/// # Panics
/// When the process does not exist.
#[must_use]
pub fn children_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    sum_of_two(&stat, 13)
}

/// Returns the same for the threads of a process whose names begin so, without those that have ended.
///
/// # Panics
/// When the process does not exist.
#[must_use]
pub fn ticks_of_threads(id: u32, name: &str) -> u64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
    let stats = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!("({name}"))).map(|stat| ticks_in(&stat)).sum()
}

/// Reads the fields utime and stime (proc(5)).
fn ticks_in(stat: &str) -> u64 {
    sum_of_two(stat, 11)
}

/// Adds two fields of a stat file, of which `before` others stand between its name and the first.
fn sum_of_two(stat: &str, before: usize) -> u64 {
    let after = stat.rsplit_once(')').expect("the stat file contains a name").1;
    after.split_whitespace().skip(before).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

/// Converts bytes to MiB.
#[must_use]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

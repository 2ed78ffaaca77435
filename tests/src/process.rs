//! What a process costs, as Linux counts it.

use std::{collections::BTreeMap, ffi::OsString, fmt, fs, path::Path};

/// Memory of a process (bytes).
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident.
    pub all: u64,
    /// Its own: for [`Memory::of`] without pages of files, which the system can take back at any time; for
    /// [`Memory::private`] without anything that another process has mapped too.
    pub own: u64,
}

impl Memory {
    /// Now, without pages of files.
    ///
    /// # Panics
    /// When there is no such process.
    #[must_use]
    pub fn of(id: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
        Self { all: field(&status, "VmRSS:"), own: field(&status, "RssAnon:") }
    }
    /// Now, without what is shared: libraries, above all.
    ///
    /// # Panics
    /// When there is no such process.
    #[must_use]
    pub fn private(id: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).expect("the process runs");
        Self { all: field(&maps, "Rss:"), own: field(&maps, "Private_Clean:") + field(&maps, "Private_Dirty:") }
    }
    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { all: self.all.max(other.all), own: self.own.max(other.own) }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).expect("a number") * 1024
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}, {:.1}", mib(self.all), mib(self.own))
    }
}

/// How often each thread of a process went to sleep of its own will so far: as often as it woke.
#[derive(Debug, Clone, Default)]
pub struct WakeUps(BTreeMap<OsString, u64>);

impl WakeUps {
    /// Until now.
    ///
    /// # Panics
    /// When there is no such process.
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
    /// Of all threads together since then. Those that have ended in between are not counted.
    #[must_use]
    pub fn since(&self, before: &Self) -> u64 {
        self.0.iter().map(|(thread, woke)| woke - before.0.get(thread).unwrap_or(&0)).sum()
    }
}

/// Processor time of the process so far, in hundredths of a second (proc(5), utime and stime).
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    let after = stat.rsplit_once(')').expect("a process has a name").1;
    after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum()
}

/// Bytes in MiB.
#[must_use]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

//! Processor load from the kernel's counters (proc(5)).
//!
//! Low-priority work (`nice`) does not count as activity, whether a background computation that runs for weeks or this
//! agent, which runs at low priority too ([`banyan_install_helper::priority`]). The kernel counts such user time separately, but not
//! the system time spent on its behalf. So the system time of this agent, and of its install helper with all its child
//! processes, is subtracted.

use std::{collections::HashMap, fs};

/// Processor times, in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ProcessorTimes {
    /// Total time of all processors.
    all: u64,
    /// The part spent on normal-priority work.
    busy: u64,
    /// The part of `busy` used by this agent.
    own: u64,
}

/// Measures the processor load.
#[derive(Debug, Default)]
pub(in crate::sensors) struct Processor {
    last: Option<ProcessorTimes>,
}

impl Processor {
    /// Returns the load since the last call (percent of all processors), without this agent's share; `None` at the
    /// first call. While `installing`, subtracts this process and all processes below it; otherwise this process
    /// alone.
    pub(in crate::sensors) fn measure_load(&mut self, installing: bool) -> Option<f64> {
        let (all, busy) = parse_cpu_times(&fs::read_to_string("/proc/stat").ok()?)?;
        let me = std::process::id();
        let table = if installing { read_all_processes() } else { read_process(me).into_iter().collect() };
        let now = ProcessorTimes { all, busy, own: busy_time_of_tree(me, &table) };
        Some(load_percent(self.last.replace(now)?, now))
    }
    /// Forgets the last measurement, because there was a gap.
    pub(in crate::sensors) fn forget(&mut self) {
        self.last = None;
    }
}

fn load_percent(before: ProcessorTimes, now: ProcessorTimes) -> f64 {
    let passed = |of: fn(ProcessorTimes) -> u64| of(now).saturating_sub(of(before));
    let busy = passed(|times| times.busy).saturating_sub(passed(|times| times.own));
    #[expect(clippy::cast_precision_loss, reason = "ticks of a few seconds")]
    let share = busy as f64 * 100.0 / passed(|times| times.all).max(1) as f64;
    share.min(100.0)
}

/// Returns total and busy time from `/proc/stat`. The fields are user, nice, system, idle, iowait, irq, softirq and
/// steal; guest time is included in the first two.
fn parse_cpu_times(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().take(8).map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let &[user, _, system, _, _, interrupts, soft, ..] = times.as_slice() else { return None };
    Some((times.iter().sum(), user + system + interrupts + soft))
}

/// The time of a process that counts as busy: its system time, and its user time unless it runs at low priority.
/// Includes ended child processes, whose times a parent takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    busy: u64,
}

/// Parses `/proc/PID/stat`.
fn parse_process(text: &str) -> Option<Process> {
    // The second field is the program's name in brackets; it may contain any character.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    let time = |at: usize| Some(number(at)?.max(0).cast_unsigned());
    let (user, system, childrens_user, childrens_system, nice) =
        (time(11)?, time(12)?, time(13)?, time(14)?, number(16)?);
    let unyielding = if nice > 0 { 0 } else { user + childrens_user };
    Some(Process { parent: fields.get(1)?.parse().ok()?, busy: unyielding + system + childrens_system })
}

fn read_process(pid: u32) -> Option<(u32, Process)> {
    Some((pid, parse_process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
}

fn read_all_processes() -> HashMap<u32, Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| read_process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Returns the busy time of a process and all processes below it.
fn busy_time_of_tree(me: u32, table: &HashMap<u32, Process>) -> u64 {
    let is_below = |mut pid: u32| {
        // The chain of parents is short; limit it in case the table is damaged.
        for _ in 0..16 {
            if pid == me {
                return true;
            }
            let Some(process) = table.get(&pid) else { return false };
            pid = process.parent;
        }
        false
    };
    table.iter().filter(|(pid, _)| is_below(**pid)).map(|(_, process)| process.busy).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_priority_work_does_not_count_and_neither_does_waiting() {
        let stat = "cpu  100 5000 40 800 60 3 7 9 20 30\ncpu0 50 2500 20 400 30 1 3 4 10 15\n";
        assert_eq!(parse_cpu_times(stat), Some((6019, 150)));
        for damaged in ["", "cpu\n", "cpu  1 2 3\n", "cpu  1 2 x 4 5 6 7 8\n", "intr 1\n"] {
            assert_eq!(parse_cpu_times(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_line_of_the_process_table_is_parsed() {
        let line = |nice: i8| format!("77 (a) b (c) S 5 77 77 0 -1 4194304 9 9 9 9 100 10 1000 200 20 {nice} 4 0 1\n");
        assert_eq!(parse_process(&line(0)), Some(Process { parent: 5, busy: 1310 }));
        assert_eq!(
            parse_process(&line(10)),
            Some(Process { parent: 5, busy: 210 }),
            "user time at low priority does not count"
        );
        assert_eq!(parse_process("77 (sh"), None);
        assert_eq!(parse_process("77 (sh) S 5 77\n"), None);
    }

    #[test]
    fn own_work_and_that_of_the_install_helper_is_subtracted() {
        let process = |parent, busy| Process { parent, busy };
        // 10 is this agent, 11 its install helper, 12 what that runs; 20 is unrelated, 13 and 14 are a damaged table.
        let table = [(10, process(1, 5)), (11, process(10, 40)), (12, process(11, 200)), (20, process(1, 7))];
        let damaged = [(13, process(14, 1)), (14, process(13, 1))];
        let table: HashMap<_, _> = table.into_iter().chain(damaged).collect();
        assert_eq!(busy_time_of_tree(10, &table), 245);
        let (before, now) = (ProcessorTimes::default(), ProcessorTimes { all: 1000, busy: 545, own: 245 });
        assert!((load_percent(before, now) - 30.0).abs() < 1e-9);
        // When a normal-priority install helper has ended, its time is gone from the sum: no negative share may result.
        assert!((load_percent(now, ProcessorTimes { all: 2000, busy: 645, own: 45 }) - 10.0).abs() < 1e-9);
        assert!(load_percent(now, now).abs() < 1e-9);
    }

    #[test]
    fn the_load_of_this_machine_can_be_measured() {
        let mut processor = Processor::default();
        assert_eq!(processor.measure_load(false), None, "the first call only starts the measurement");
        assert!(processor.measure_load(true).is_some_and(|percent| (0.0..=100.0).contains(&percent)));
        processor.forget();
        assert_eq!(processor.measure_load(false), None);
    }
}

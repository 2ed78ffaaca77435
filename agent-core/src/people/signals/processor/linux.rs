//! The processor's time by the kernel's own counters (proc(5)).
//!
//! Work that gives way of its own accord (`nice`) is nobody's activity and does not count: neither a computation that runs
//! for weeks in the background, nor this agent, which gives way too ([`crate::priority`]). The kernel keeps that time
//! apart, save what it spends itself on behalf of such work: of that, this agent's share is taken out, and its
//! installer's with everything that it runs.

use std::{collections::HashMap, fs};

/// All times are in the kernel's ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    /// All processors, whatever they did.
    all: u64,
    /// Of it, work that does not give way.
    busy: u64,
    /// Of that, this agent's.
    own: u64,
}

/// Looks at the processor.
#[derive(Debug, Default)]
pub(in super::super) struct Processor {
    last: Option<Times>,
}

impl Processor {
    /// How busy it was since the last look (percent of all processors), without this agent. None: there is nothing to
    /// compare with yet. While something is `installing` everything below this process is looked for, else it alone.
    pub(in super::super) fn look(&mut self, installing: bool) -> Option<f64> {
        let (all, busy) = whole(&fs::read_to_string("/proc/stat").ok()?)?;
        let me = std::process::id();
        let table = if installing { everything() } else { one(me).into_iter().collect() };
        let now = Times { all, busy, own: below(me, &table) };
        Some(share(self.last.replace(now)?, now))
    }
    /// Nobody looked for a while.
    pub(in super::super) fn forget(&mut self) {
        self.last = None;
    }
}

fn share(before: Times, now: Times) -> f64 {
    let passed = |of: fn(Times) -> u64| of(now).saturating_sub(of(before));
    let busy = passed(|times| times.busy).saturating_sub(passed(|times| times.own));
    #[expect(clippy::cast_precision_loss, reason = "ticks of a few seconds")]
    let share = busy as f64 * 100.0 / passed(|times| times.all).max(1) as f64;
    share.min(100.0)
}

/// All time and busy time out of `/proc/stat`: user, nice, system, idle, waiting for disks, interrupts, soft interrupts,
/// stolen by other virtual machines; guests' time stands in the first two once more.
fn whole(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().take(8).map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let &[user, _, system, _, _, interrupts, soft, ..] = times.as_slice() else { return None };
    Some((times.iter().sum(), user + system + interrupts + soft))
}

/// What a process has used of what counts as busy: the system's time for it, and its own unless it gives way. With its
/// children that have ended, since a parent takes over their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    busy: u64,
}

/// Out of `/proc/PID/stat`.
fn process(text: &str) -> Option<Process> {
    // The second field is the program's name, in brackets; it may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok();
    let time = |at: usize| Some(number(at)?.max(0).cast_unsigned());
    let (user, system, childrens_user, childrens_system, nice) =
        (time(11)?, time(12)?, time(13)?, time(14)?, number(16)?);
    let unyielding = if nice > 0 { 0 } else { user + childrens_user };
    Some(Process { parent: fields.get(1)?.parse().ok()?, busy: unyielding + system + childrens_system })
}

fn one(pid: u32) -> Option<(u32, Process)> {
    Some((pid, process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))
}

fn everything() -> HashMap<u32, Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| one(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// A process and everything below it.
fn below(me: u32, table: &HashMap<u32, Process>) -> u64 {
    let is_below = |mut pid: u32| {
        // A chain of parents is short; a damaged table must not hold us.
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
    fn what_gives_way_does_not_count_and_neither_does_waiting() {
        let stat = "cpu  100 5000 40 800 60 3 7 9 20 30\ncpu0 50 2500 20 400 30 1 3 4 10 15\n";
        assert_eq!(whole(stat), Some((6019, 150)));
        for damaged in ["", "cpu\n", "cpu  1 2 3\n", "cpu  1 2 x 4 5 6 7 8\n", "intr 1\n"] {
            assert_eq!(whole(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_process_by_its_line() {
        let line = |nice: i8| format!("77 (a) b (c) S 5 77 77 0 -1 4194304 9 9 9 9 100 10 1000 200 20 {nice} 4 0 1\n");
        assert_eq!(process(&line(0)), Some(Process { parent: 5, busy: 1310 }));
        assert_eq!(process(&line(10)), Some(Process { parent: 5, busy: 210 }), "its own time gives way");
        assert_eq!(process("77 (sh"), None);
        assert_eq!(process("77 (sh) S 5 77\n"), None);
    }

    #[test]
    fn own_work_and_the_installers_are_taken_out() {
        let process = |parent, busy| Process { parent, busy };
        // 10 is this agent, 11 its installer, 12 what that runs; 20 is somebody's, 13 and 14 are a damaged table.
        let table = [(10, process(1, 5)), (11, process(10, 40)), (12, process(11, 200)), (20, process(1, 7))];
        let damaged = [(13, process(14, 1)), (14, process(13, 1))];
        let table: HashMap<_, _> = table.into_iter().chain(damaged).collect();
        assert_eq!(below(10, &table), 245);
        let (before, now) = (Times::default(), Times { all: 1000, busy: 545, own: 245 });
        assert!((share(before, now) - 30.0).abs() < 1e-9);
        // When an installer that did not give way has ended, its time is gone from the sum: nothing is invented then.
        assert!((share(now, Times { all: 2000, busy: 645, own: 45 }) - 10.0).abs() < 1e-9);
        assert!(share(now, now).abs() < 1e-9);
    }

    #[test]
    fn this_machine_can_be_read() {
        let mut processor = Processor::default();
        assert_eq!(processor.look(false), None, "the first look only begins");
        assert!(processor.look(true).is_some_and(|percent| (0.0..=100.0).contains(&percent)));
        processor.forget();
        assert_eq!(processor.look(false), None);
    }
}

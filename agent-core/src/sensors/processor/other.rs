//! Processor load from `sysinfo`, for systems that do not count low-priority work separately.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Measures the processor load.
pub(in crate::sensors) struct Processor {
    system: System,
    me: Option<Pid>,
    cores: f64,
    has_measured: bool,
}

impl Default for Processor {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "the number of cores is small")]
        let cores = cores as f64;
        Self { system: System::new(), me: sysinfo::get_current_pid().ok(), cores, has_measured: false }
    }
}

impl Processor {
    /// Returns the load since the last call (percent of all processors), without this agent's share; `None` at the
    /// first call. While `installing`, subtracts this process and all processes below it; otherwise this process
    /// alone.
    pub(in crate::sensors) fn measure_load(&mut self, installing: bool) -> Option<f64> {
        self.system.refresh_cpu_usage();
        let which = self.me.map(|me| [me]);
        let which = match &which {
            Some(me) if !installing => ProcessesToUpdate::Some(me),
            _ => ProcessesToUpdate::All,
        };
        self.system.refresh_processes_specifics(which, true, ProcessRefreshKind::nothing().with_cpu());
        if !std::mem::replace(&mut self.has_measured, true) {
            return None;
        }
        let own: f64 = self.own_processes().map(|process| f64::from(process.cpu_usage())).sum();
        Some((f64::from(self.system.global_cpu_usage()) - own / self.cores).max(0.0))
    }
    /// Forgets the last measurement, because there was a gap.
    pub(in crate::sensors) fn forget(&mut self) {
        self.has_measured = false;
    }
    /// Returns this process and the processes below it.
    fn own_processes(&self) -> impl Iterator<Item = &sysinfo::Process> {
        self.system.processes().values().filter(|process| {
            let mut at = Some(process.pid());
            // The chain of parents is short; limit it in case the table is damaged.
            for _ in 0..16 {
                if at == self.me {
                    return true;
                }
                at = at.and_then(|pid| self.system.process(pid)).and_then(sysinfo::Process::parent);
            }
            false
        })
    }
}

//! The processor's time as `sysinfo` has it, where the kernel does not keep apart what gives way.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Looks at the processor.
pub(in super::super) struct Processor {
    system: System,
    me: Option<Pid>,
    cores: f64,
    looked: bool,
}

impl Default for Processor {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        #[expect(clippy::cast_precision_loss, reason = "the number of cores is small")]
        let cores = cores as f64;
        Self { system: System::new(), me: sysinfo::get_current_pid().ok(), cores, looked: false }
    }
}

impl Processor {
    /// How busy it was since the last look (percent of all processors), without this agent. None: there is nothing to
    /// compare with yet. While something is `installing` everything below this process is looked for, else it alone.
    pub(in super::super) fn look(&mut self, installing: bool) -> Option<f64> {
        self.system.refresh_cpu_usage();
        let which = self.me.map(|me| [me]);
        let which = match &which {
            Some(me) if !installing => ProcessesToUpdate::Some(me),
            _ => ProcessesToUpdate::All,
        };
        self.system.refresh_processes_specifics(which, true, ProcessRefreshKind::nothing().with_cpu());
        if !std::mem::replace(&mut self.looked, true) {
            return None;
        }
        let own: f64 = self.own().map(|process| f64::from(process.cpu_usage())).sum();
        Some((f64::from(self.system.global_cpu_usage()) - own / self.cores).max(0.0))
    }
    /// Nobody looked for a while.
    pub(in super::super) fn forget(&mut self) {
        self.looked = false;
    }
    /// This process, and those it has started.
    fn own(&self) -> impl Iterator<Item = &sysinfo::Process> {
        self.system.processes().values().filter(|process| {
            let mut at = Some(process.pid());
            // A chain of parents is short; a damaged table must not hold us.
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

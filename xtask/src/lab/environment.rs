//! The environment of a lab: its network, its data folder (in memory if there is room) and its log folder (kept).

use crate::command::{read, target_dir};
use crate::lab::{
    cleanup_guard::Guard,
    network::{
        plan::NetworkPlan,
        virtual_network::{Host, VirtualNetwork},
    },
};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running lab.
pub(crate) struct LabEnvironment {
    pub(crate) net: VirtualNetwork,
    /// The data folder; removed with the lab.
    pub(crate) dir: PathBuf,
    /// The folder of logs; kept.
    pub(crate) logs: PathBuf,
    /// Whether server and agents log every chunk.
    pub(crate) chunk_log: bool,
    // Must be last: dropping it takes down the network and removes the folder.
    _guard: Guard,
}

/// What a lab consists of.
pub(crate) struct LabSettings<'a> {
    /// Distinguishes the labs of one process, which follow each other.
    pub(crate) number: usize,
    pub(crate) network: &'a NetworkPlan,
    /// Disk space for the server (bytes).
    pub(crate) server_room: u64,
    /// Disk space for each machine, which is in memory; 0 if there are no machines' roots (bytes).
    pub(crate) machine_room: u64,
    /// The name of the folder for logs.
    pub(crate) logs: &'a str,
    /// Whether server and agents log every chunk.
    pub(crate) chunk_log: bool,
}

impl LabEnvironment {
    pub(crate) fn start(settings: &LabSettings<'_>) -> Result<Self> {
        let prefix = match settings.number {
            0 => format!("banyan-lab-{}", std::process::id()),
            number => format!("banyan-lab-{}-{number}", std::process::id()),
        };
        let dir = roomy(settings.server_room)?.join(&prefix);
        let machines = settings.network.machines.len();
        enough_memory(settings.machine_room * machines as u64)?;
        let logs = target_dir()?.join(settings.logs);
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir_all(&logs)?;
        let guard = Guard::start(&prefix, &dir)?;
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        println!("{machines} machines, data in {}, logs in {}", dir.display(), logs.display());
        let net = VirtualNetwork::start(&prefix, settings.network)?;
        Ok(Self { net, dir, logs, chunk_log: settings.chunk_log, _guard: guard })
    }

    /// Returns the path of the log with this name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts a background process that writes to the log with this name.
    pub(crate) fn spawn(&self, name: &str, command: &mut Command) -> Result<Process> {
        let path = self.log(name);
        let log = File::options().create(true).append(true).open(&path)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process { child, name: name.to_owned(), log: path })
    }
}

/// A background process of the lab. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Fails with the last lines of the log if the process has ended.
    pub(crate) fn check_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended ({status}). Last lines of its log:\n{}", self.name, last_lines(&self.log));
    }
    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
    /// Kills the process (SIGKILL).
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Runs a program on a host for at most `seconds` seconds and returns its standard output.
pub(crate) fn run_on_host(host: &Host, seconds: u64, program: &Path, arguments: &[&str]) -> Result<String> {
    let limit = seconds.to_string();
    let mut command = host.command("timeout");
    read(command.args(["--kill-after=5", &limit]).arg(program).args(arguments))
        .with_context(|| format!("on {}, within {seconds} s", host.label))
}

/// Calls `ask` ten times a second until it returns a value.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_at_interval(Duration::from_millis(100), what, limit, ask)
}

/// Calls `ask` at this interval until it returns a value. Choose a long interval while measuring: each call costs
/// processor time.
pub(crate) fn wait_at_interval<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("timed out after {} s waiting for {what}", limit.as_secs());
        }
        std::thread::sleep(pause);
    }
}

/// Returns a folder with this much free space (bytes), in memory if possible, so that no disk is measured.
fn roomy(bytes: u64) -> Result<PathBuf> {
    let temp = std::env::temp_dir();
    for folder in [Path::new("/dev/shm"), &temp] {
        let free = read(Command::new("df").args(["--block-size=1", "--output=avail"]).arg(folder));
        let free = free.ok().and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
        if free.is_some_and(|free| free > bytes) {
            return Ok(folder.to_owned());
        }
    }
    bail!("neither /dev/shm nor {} has {} MiB free", temp.display(), bytes >> 20)
}

/// Fails early if there is too little memory, so that the lab is not killed half-way.
fn enough_memory(bytes: u64) -> Result<()> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read the free memory")?;
    let free = available(&text).context("/proc/meminfo does not state the available memory")?;
    if free < bytes {
        bail!(
            "{} MiB of memory are free, but the machines may need {}; pass a smaller --size or fewer --machines",
            free >> 20,
            bytes >> 20
        );
    }
    Ok(())
}

/// Parses the bytes available without swapping.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn available_memory_is_more_than_unused_memory() {
        let text = "MemTotal:       24684096 kB\nMemFree:          100000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(super::available(text), Some(23_000_000 << 10));
        assert_eq!(super::available("MemTotal: 1 kB\n"), None);
    }
}

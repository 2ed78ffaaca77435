//! Where a lab happens: its network, its folder for data (in memory where there is room), its folder for logs (kept).

use super::{
    Options,
    guard::Guard,
    net::{Host, Net},
};
use crate::command::{read, target_dir};
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A lab that is up.
pub(crate) struct Place {
    pub(crate) net: Net,
    /// For data; gone when the lab is.
    pub(crate) dir: PathBuf,
    logs: PathBuf,
    // Last: it takes down the network and removes the folder.
    _guard: Guard,
}

impl Place {
    pub(crate) fn up(options: &Options) -> Result<Self> {
        let prefix = format!("banyan-lab-{}", std::process::id());
        // The server's part; what machines write is in memory.
        let dir = roomy(options.size() * 8 + super::deb::ROOM)?.join(&prefix);
        if !options.plain {
            enough_memory(options.room() * u64::from(options.machines()))?;
        }
        let logs = target_dir()?.join("lab-logs");
        if logs.exists() {
            std::fs::remove_dir_all(&logs)?;
        }
        std::fs::create_dir_all(&logs)?;
        let guard = Guard::start(&prefix, &dir)?;
        std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        println!(
            "{} machines at {}, data in {}, logs in {}",
            options.machines(),
            options.rate,
            dir.display(),
            logs.display()
        );
        let net = Net::up(&prefix, options.machines(), &options.rate)?;
        Ok(Self { net, dir, logs, _guard: guard })
    }

    /// A log file of this name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Starts something that goes on, writing to a log of this name.
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

/// Something that goes on in the lab. Killed when dropped: a host without it is a host without it.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// An error with the last lines of its log when it has ended.
    pub(crate) fn must_live(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended ({status}). The last it said:\n{}", self.name, last_lines(&self.log));
    }
    /// Its process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
    /// Kills it (SIGKILL), by its id.
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

/// Runs a program on a host for so many seconds at most and gives its standard output.
pub(crate) fn read_on(host: &Host, seconds: u64, program: &Path, arguments: &[&str]) -> Result<String> {
    let limit = seconds.to_string();
    let mut command = host.command("timeout");
    read(command.args(["--kill-after=5", &limit]).arg(program).args(arguments))
        .with_context(|| format!("on {}, within {seconds} s", host.label))
}

/// Asks ten times a second until there is an answer.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_every(Duration::from_millis(100), what, limit, ask)
}

/// Asks so often until there is an answer. Asking costs processor time that is missing where something is measured.
pub(crate) fn wait_every<T>(
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
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(pause);
    }
}

/// A folder with this much room (bytes): in memory if there is one, so that no disk is measured.
fn roomy(bytes: u64) -> Result<PathBuf> {
    let temp = std::env::temp_dir();
    for folder in [Path::new("/dev/shm"), &temp] {
        let free = read(Command::new("df").args(["--block-size=1", "--output=avail"]).arg(folder));
        let free = free.ok().and_then(|text| text.lines().last()?.trim().parse::<u64>().ok());
        if free.is_some_and(|free| free > bytes) {
            return Ok(folder.to_owned());
        }
    }
    bail!("neither /dev/shm nor {} has {} MiB to spare", temp.display(), bytes >> 20)
}

/// Better no lab than one that is ended in the middle for want of memory.
fn enough_memory(bytes: u64) -> Result<()> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read how much memory is free")?;
    let free = available(&text).context("/proc/meminfo does not say how much memory is free")?;
    if free < bytes {
        bail!(
            "{} MiB of memory are free, the machines may need {}: take a smaller --size or fewer --machines",
            free >> 20,
            bytes >> 20
        );
    }
    Ok(())
}

/// Bytes that can be had without swapping.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn free_memory_is_what_can_be_had_not_what_is_unused() {
        let text = "MemTotal:       24684096 kB\nMemFree:          100000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(super::available(text), Some(23_000_000 << 10));
        assert_eq!(super::available("MemTotal: 1 kB\n"), None);
    }
}

//! A processor whose load a test decides, so that the load of the real computer cannot affect the test.
//!
//! An agent reads the load from `/proc/stat`. [`SimulatedProcessor::command`] starts a program in a mount namespace in
//! which that path shows the file of this simulation. This needs root, or a kernel that lets users create namespaces.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often the counters advance.
const STEP: Duration = Duration::from_millis(50);

/// What the processor is doing.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// A user works: all processor time goes to a program of normal priority.
    in_use: bool,
    /// The process whose real processor time is the only other load. The processor is ten times slower meanwhile, so
    /// that a little work already fills it.
    process: Option<u32>,
    ended: bool,
}

/// The simulated processor. Its counters advance until the value is dropped.
#[derive(Debug)]
pub struct SimulatedProcessor {
    file: PathBuf,
    load: Arc<Mutex<Load>>,
    clock: Option<JoinHandle<()>>,
}

impl SimulatedProcessor {
    /// Starts an idle processor, whose counters are in this file.
    ///
    /// # Panics
    /// When the file cannot be written.
    #[must_use]
    pub fn start(file: &Path) -> Self {
        let counters = File::create(file).expect("the file can be created");
        let load = Arc::new(Mutex::new(Load::default()));
        write(&counters, &Ticks::default());
        let shared = Arc::clone(&load);
        let clock = std::thread::spawn(move || advance(&counters, &shared));
        Self { file: file.to_owned(), load, clock: Some(clock) }
    }
    /// Makes a user work, or stop working.
    ///
    /// # Panics
    /// When the simulation has failed.
    pub fn set_in_use(&self, in_use: bool) {
        self.load.lock().expect("the simulation runs").in_use = in_use;
    }
    /// Adds the real processor time of this process to the load, on a processor that is ten times slower from now on.
    ///
    /// # Panics
    /// When the simulation has failed.
    pub fn add_process(&self, id: u32) {
        self.load.lock().expect("the simulation runs").process = Some(id);
    }
    /// Returns a command that runs `program` with this processor.
    #[must_use]
    pub fn command(file: &Path, program: &Command) -> Command {
        let mut command = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /proc/stat && exec \"$@\""]).arg(file);
        command.arg(program.get_program()).args(program.get_args());
        command
    }
    /// Returns the file with the counters.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for SimulatedProcessor {
    fn drop(&mut self) {
        if let Ok(mut load) = self.load.lock() {
            load.ended = true;
        }
        drop(self.clock.take().map(JoinHandle::join));
    }
}

/// Processor time since the start (hundredths of a second).
#[derive(Debug, Default)]
struct Ticks {
    user: u64,
    nice: u64,
    system: u64,
    idle: u64,
}

fn advance(counters: &File, load: &Mutex<Load>) {
    let (mut ticks, mut last) = (Ticks::default(), Instant::now());
    let mut remainder = Duration::ZERO;
    loop {
        std::thread::sleep(STEP);
        let load = *load.lock().expect("no test panics while it holds the lock");
        if load.ended {
            return;
        }
        let passed = last.elapsed() + remainder;
        last = Instant::now();
        let tick = Duration::from_millis(if load.process.is_some() { 100 } else { 10 });
        let count = u64::try_from(passed.as_millis() / tick.as_millis()).unwrap_or(u64::MAX);
        remainder = passed - tick * u32::try_from(count).unwrap_or(u32::MAX);
        if load.in_use {
            ticks.user += count;
        } else {
            ticks.idle += count;
        }
        if let Some((user, system)) = load.process.and_then(process_time) {
            (ticks.nice, ticks.system) = (user.max(ticks.nice), system.max(ticks.system));
        }
        write(counters, &ticks);
    }
}

/// Returns user and system time of a process, proc(5).
fn process_time(id: u32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?))
}

/// Writes the counters in place and always with the same length, because a reader may have the file open.
fn write(counters: &File, ticks: &Ticks) {
    let Ticks { user, nice, system, idle } = ticks;
    let line = format!("cpu  {user:012} {nice:012} {system:012} {idle:012} 0 0 0 0 0 0\n");
    counters.write_all_at(line.as_bytes(), 0).expect("the file can be written");
}

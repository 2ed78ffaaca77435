//! Runs one program: no shell, a clean environment, bounded time and output. A timeout kills its whole process group.
//!
//! Programs that run scripts of their own, such as dpkg, announce them in their output ([`ScriptWatch`]). A script that
//! runs too long is ended with everything that it started; the program itself goes on and records what happened.

use crate::{
    error::{InstallError, IoContext},
    sys,
};
use banyan_proto::{Reason, manifest::CommandSpec, program_output};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// The number of bytes kept from the end of everything that programs print.
pub(crate) const OUTPUT_BYTES: usize = 8 << 10;
/// How long output is still read after a program ended: a process that it started may keep the pipe open for ever. Then
/// another process reads on, because a write to a pipe without reader would end that one.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// How often a running script's time is checked.
const SCRIPT_CHECK: Duration = Duration::from_millis(250);
/// How long a script may take to end after it was asked to.
const SCRIPT_GRACE: Duration = Duration::from_secs(5);

/// Tells dpkg that its caller holds `lock-frontend`, which the install helper does from the plan of a deb to its end.
pub(crate) const DPKG_LOCKED: (&str, &str) = ("DPKG_FRONTEND_LOCKED", "true");

/// The end of a growing text.
#[derive(Debug, Default)]
pub(crate) struct OutputLog(Vec<u8>);

impl OutputLog {
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Truncates only at twice the size, not at every byte.
        if self.0.len() > 2 * OUTPUT_BYTES {
            self.0.drain(..self.0.len() - OUTPUT_BYTES);
        }
    }
    pub(crate) fn append_line(&mut self, text: &str) {
        self.append(text.as_bytes());
        self.append(b"\n");
    }
    /// Returns the last [`OUTPUT_BYTES`] as text for people, without colours and progress bars.
    pub(crate) fn tail(&self) -> String {
        program_output::plain(&String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(OUTPUT_BYTES)..]))
    }
}

/// A program with its arguments, folder, time limit and environment.
#[derive(Debug)]
pub(crate) struct ExternalCommand {
    pub(crate) argv: Vec<OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) limit: Duration,
    /// Variables added to the clean environment.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    /// Standard input.
    pub(crate) input: Vec<u8>,
    /// The time limit of each script that the program runs.
    pub(crate) scripts: Option<ScriptWatch>,
}

/// How to notice the scripts of a program, and how long each may run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScriptWatch {
    pub(crate) limit: Duration,
    /// What the lines begin with that only serve this watch. They are left out of the output.
    pub(crate) hidden: &'static str,
    /// Returns the name of the script that a line announces.
    pub(crate) name_in: fn(&str) -> Option<String>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it, such as `SIGKILL`.
    Signal(String),
    /// It ran out of time and was killed with its whole group.
    TimedOut,
}

/// A program that has ended, and the end of its output.
#[derive(Debug)]
pub(crate) struct FinishedCommand {
    pub(crate) exit: ExitKind,
    pub(crate) output: String,
    /// Which script ran too long and was stopped, for people.
    pub(crate) stopped_script: Option<String>,
    /// Whether the kernel ended a process here meanwhile because memory ran out, as far as it is known.
    pub(crate) memory_ran_out: bool,
}

/// What is read from a program while it runs.
#[derive(Debug, Default)]
struct Progress {
    end: OutputLog,
    /// The last script that was announced, and when.
    script: Option<(String, Instant)>,
}

fn locked(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ExternalCommand {
    /// Prepares a publisher's command: `{dir}` in any argument stands for `folder`, which is also the working folder. A
    /// relative path to the program starts at `folder`; a bare name is looked up in the system's folders.
    pub(crate) fn from_manifest(spec: &CommandSpec, folder: &Path) -> Self {
        let dir = folder.display().to_string();
        let mut argv: Vec<OsString> = spec.argv.iter().map(|text| text.replace("{dir}", &dir).into()).collect();
        if let Some(program) = argv.first_mut() {
            let path = Path::new(&program);
            if path.is_relative() && path.components().count() > 1 {
                *program = folder.join(path).into();
            }
        }
        let limit = Duration::from_secs(spec.timeout_seconds.into());
        Self { argv, folder: folder.to_owned(), limit, environment: Vec::new(), input: Vec::new(), scripts: None }
    }

    /// Runs the program to its end or its time limit. Its output also goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn run(&self, log: &mut OutputLog) -> Result<FinishedCommand, InstallError> {
        let shown = self.argv.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ");
        log.append_line(&format!("$ {shown}"));
        let context = || format!("running `{shown}` in {}", self.folder.display());
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(std::io::Error::other("the command names no program")).context(context);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(context)?;
        let progress = Mutex::<Progress>::default();
        let killed_before = sys::count_out_of_memory_kills();
        let (exit, stopped_script) = runtime
            .block_on(async {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(&self.folder).env_clear().envs(sys::clean_environment());
                command.envs(self.environment.iter().copied());
                command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
                let (mut output, stdout, stderr) = sys::output_pipe()?;
                command.stdout(stdout).stderr(stderr);
                sys::set_process_group(&mut command);
                let mut child = command.spawn()?;
                // Closes this process's writing ends: the pipe then ends with the last process of the program.
                drop(command);
                if let Some(mut stdin) = child.stdin.take() {
                    // A program that does not read its input says so itself.
                    let _ = stdin.write_all(&self.input).await;
                }
                let mut is_read = false;
                let (exit, stopped) = {
                    let reading = collect_output(&mut output, &progress, self.scripts);
                    tokio::pin!(reading);
                    let ended = {
                        let waiting = timeout(self.limit, wait_watching(&mut child, self.scripts, &progress));
                        tokio::pin!(waiting);
                        loop {
                            tokio::select! {
                                ended = &mut waiting => break ended,
                                _ = &mut reading, if !is_read => is_read = true,
                            }
                        }
                    };
                    let ended = match ended {
                        Ok(ended) => ended?,
                        Err(_) => {
                            sys::kill_process_group(&mut child);
                            child.wait().await?;
                            (ExitKind::TimedOut, None)
                        }
                    };
                    is_read = is_read || timeout(OUTPUT_GRACE, &mut reading).await.is_ok();
                    ended
                };
                if !is_read {
                    sys::keep_reading(output);
                }
                Ok((exit, stopped))
            })
            .map_err(|error| {
                why_not_started(program, &error).unwrap_or(InstallError::Io { context: context(), source: error })
            })?;
        // A thread that still reads is not waited for.
        runtime.shutdown_background();
        let output = locked(&progress).end.tail();
        log.append(output.as_bytes());
        if !output.is_empty() && !output.ends_with('\n') {
            log.append_line("");
        }
        let memory_ran_out = sys::count_out_of_memory_kills() > killed_before;
        Ok(FinishedCommand { exit, output, stopped_script, memory_ran_out })
    }
}

/// Explains why a program could not be started, where "permission denied" alone would not help.
fn why_not_started(program: &OsStr, error: &io::Error) -> Option<InstallError> {
    let path = Path::new(program);
    if error.kind() != io::ErrorKind::PermissionDenied || !path.is_file() {
        return None;
    }
    let shown = path.display();
    (sys::is_executable(path) && sys::forbids_programs(path)).then(|| {
        let detail =
            format!("{shown} is on a file system that is mounted with noexec, so no program can be started there");
        InstallError::new(Reason::NoExec, detail)
    })
}

impl FinishedCommand {
    pub(crate) fn is_success(&self) -> bool {
        self.exit == ExitKind::Code(0)
    }
    /// Describes how the program ended, for people.
    pub(crate) fn describe_exit(&self) -> String {
        let mut text = match &self.exit {
            ExitKind::Code(code) => format!("exited with code {code}{}", describe_shell_code(*code)),
            ExitKind::Signal(name) => format!("was killed by {name}"),
            ExitKind::TimedOut => "timed out and was killed".into(),
        };
        if self.memory_ran_out {
            text += OUT_OF_MEMORY;
        }
        text
    }
}

/// Says that memory ran out, at the end of how a program ended.
const OUT_OF_MEMORY: &str = " (memory ran out, and the kernel's out-of-memory killer ended a program)";

/// Explains an exit code with which shells pass on that a signal ended their last program. Empty for other codes.
pub(crate) fn describe_shell_code(code: i32) -> String {
    sys::signal_name(code - 128).map_or_else(String::new, |name| format!(" (as a shell does after {name})"))
}

fn exit_kind(status: ExitStatus) -> ExitKind {
    let signal = || ExitKind::Signal(sys::ending_signal(status).unwrap_or_else(|| "a signal".into()));
    status.code().map_or_else(signal, ExitKind::Code)
}

/// Waits for the program. Ends scripts that run too long; the program notices, and goes on.
async fn wait_watching(
    child: &mut Child,
    scripts: Option<ScriptWatch>,
    progress: &Mutex<Progress>,
) -> std::io::Result<(ExitKind, Option<String>)> {
    let Some(watch) = scripts else { return Ok((exit_kind(child.wait().await?), None)) };
    let group = child.id();
    let mut stopped: Option<String> = None;
    loop {
        if let Ok(status) = timeout(SCRIPT_CHECK, child.wait()).await {
            let exit = exit_kind(status?);
            if let (ExitKind::Signal(_), Some(group)) = (&exit, group) {
                // A script that a killed program left behind would work against what comes next.
                sys::kill_group(group);
            }
            return Ok((exit, stopped));
        }
        let script = locked(progress).script.clone();
        let Some((name, since)) = script.filter(|(_, since)| since.elapsed() > watch.limit) else { continue };
        // The script may have ended long ago: then the program itself is at work.
        let processes = sys::script_processes(child);
        if processes.is_empty() {
            continue;
        }
        sys::end_processes(&processes, false);
        stopped.get_or_insert_with(|| format!("{name} ran longer than {} s and was stopped", watch.limit.as_secs()));
        let asked = Instant::now();
        while asked.elapsed() < SCRIPT_GRACE && sys::is_any_alive(&processes) {
            sleep(Duration::from_millis(50)).await;
        }
        sys::end_processes(&processes, true);
        let mut progress = locked(progress);
        if progress.script.as_ref().is_some_and(|(_, started)| *started == since) {
            progress.script = None;
        }
    }
}

async fn collect_output(pipe: &mut sys::OutputReader, progress: &Mutex<Progress>, scripts: Option<ScriptWatch>) {
    let (mut buffer, mut line) = ([0; 4096], Vec::new());
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut progress = locked(progress);
        let Some(watch) = &scripts else {
            progress.end.append(&buffer[..count]);
            continue;
        };
        for byte in &buffer[..count] {
            line.push(*byte);
            if *byte == b'\n' || line.len() >= OUTPUT_BYTES {
                progress.take_line(&line, watch);
                line.clear();
            }
        }
    }
    if let (Some(watch), false) = (&scripts, line.is_empty()) {
        locked(progress).take_line(&line, watch);
    }
}

impl Progress {
    fn take_line(&mut self, line: &[u8], watch: &ScriptWatch) {
        if !line.starts_with(watch.hidden.as_bytes()) {
            return self.end.append(line);
        }
        if let Some(name) = (watch.name_in)(String::from_utf8_lossy(line).trim_end()) {
            self.script = Some((name, Instant::now()));
        }
    }
}

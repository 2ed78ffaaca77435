//! Runs one program: no shell, a clean environment, bounded time and output. A timeout kills its whole process group.

use crate::{
    error::{InstallError, IoContext},
    sys,
};
use banyan_proto::manifest::CommandSpec;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

/// The number of bytes kept from the end of everything that programs print.
pub(crate) const OUTPUT_BYTES: usize = 8 << 10;
/// How long output is still read after a program ended: a process that it started may keep the pipe open for ever.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

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
    /// Returns the last [`OUTPUT_BYTES`] as text.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(OUTPUT_BYTES)..]).into_owned()
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
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// It exited with this code; `None` when a signal ended it.
    Code(Option<i32>),
    /// It ran out of time and was killed with its whole group.
    TimedOut,
}

/// A program that has ended, and the end of its output.
#[derive(Debug)]
pub(crate) struct FinishedCommand {
    pub(crate) exit: ExitKind,
    pub(crate) output: String,
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
        Self { argv, folder: folder.to_owned(), limit, environment: Vec::new() }
    }

    /// Runs the program to its end or its time limit. Its output also goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn run(&self, log: &mut OutputLog) -> Result<FinishedCommand, InstallError> {
        let shown = self.argv.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ");
        log.append_line(&format!("$ {shown}"));
        let context = || format!("running {shown:?} in {}", self.folder.display());
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(std::io::Error::other("the command names no program")).context(context);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context(context)?;
        let output_end = Arc::new(Mutex::new(OutputLog::default()));
        let exit = runtime
            .block_on(async {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(&self.folder).env_clear().envs(sys::clean_environment());
                command.envs(self.environment.iter().copied());
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                sys::set_process_group(&mut command);
                let mut child = command.spawn()?;
                let out = tokio::spawn(collect_output(child.stdout.take(), Arc::clone(&output_end)));
                let err = tokio::spawn(collect_output(child.stderr.take(), Arc::clone(&output_end)));
                let exit = match timeout(self.limit, child.wait()).await {
                    Ok(status) => ExitKind::Code(status?.code()),
                    Err(_) => {
                        sys::kill_process_group(&mut child);
                        child.wait().await?;
                        ExitKind::TimedOut
                    }
                };
                let _ = timeout(OUTPUT_GRACE, async { tokio::join!(out, err) }).await;
                Ok(exit)
            })
            .context(context)?;
        let output = output_end.lock().unwrap_or_else(PoisonError::into_inner).tail();
        log.append(output.as_bytes());
        if !output.is_empty() && !output.ends_with('\n') {
            log.append_line("");
        }
        Ok(FinishedCommand { exit, output })
    }
}

impl FinishedCommand {
    pub(crate) fn is_success(&self) -> bool {
        self.exit == ExitKind::Code(Some(0))
    }
    /// Describes how the program ended, for people.
    pub(crate) fn describe_exit(&self) -> String {
        match self.exit {
            ExitKind::Code(Some(code)) => format!("exited with code {code}"),
            ExitKind::Code(None) => "was killed by a signal".into(),
            ExitKind::TimedOut => "timed out and was killed".into(),
        }
    }
}

async fn collect_output(pipe: Option<impl AsyncRead + Unpin>, output_end: Arc<Mutex<OutputLog>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        output_end.lock().unwrap_or_else(PoisonError::into_inner).append(&buffer[..count]);
    }
}

//! Runs one program: no shell, a clean environment, bounded time and output. A timeout kills its whole process group.

use crate::{
    error::{Doing, Trouble},
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
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The end of a growing text.
#[derive(Debug, Default)]
pub(crate) struct Talk(Vec<u8>);

impl Talk {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        // Truncates only at twice the size, not at every byte.
        if self.0.len() > 2 * OUTPUT_BYTES {
            self.0.drain(..self.0.len() - OUTPUT_BYTES);
        }
    }
    pub(crate) fn line(&mut self, text: &str) {
        self.add(text.as_bytes());
        self.add(b"\n");
    }
    /// Returns the last [`OUTPUT_BYTES`] as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(OUTPUT_BYTES)..]).into_owned()
    }
}

/// A program with its arguments, folder, time limit and environment.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) argv: Vec<OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) limit: Duration,
    /// Variables added to the clean environment.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this code; `None` when a signal ended it.
    Code(Option<i32>),
    /// It ran out of time and was killed with its whole group.
    TimedOut,
}

/// A program that has ended, and the end of its output.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ended: Ended,
    pub(crate) output: String,
}

impl Line {
    /// Prepares a publisher's command: `{dir}` in any argument stands for `folder`, which is also the working folder. A
    /// relative path to the program starts at `folder`; a bare name is looked up in the system's folders.
    pub(crate) fn publishers(spec: &CommandSpec, folder: &Path) -> Self {
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

    /// Runs the program to its end or its time limit. Its output also goes to `talk`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn run(&self, talk: &mut Talk) -> Result<Ran, Trouble> {
        let shown = self.argv.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ");
        talk.line(&format!("$ {shown}"));
        let doing = || format!("running {shown:?} in {}", self.folder.display());
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(std::io::Error::other("the command names no program")).doing(doing);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
        let printed = Arc::new(Mutex::new(Talk::default()));
        let ended = runtime
            .block_on(async {
                let mut command = Command::new(program);
                command.args(arguments).current_dir(&self.folder).env_clear().envs(sys::clean_environment());
                command.envs(self.environment.iter().copied());
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                sys::own_group(&mut command);
                let mut child = command.spawn()?;
                let out = tokio::spawn(keep_end(child.stdout.take(), Arc::clone(&printed)));
                let err = tokio::spawn(keep_end(child.stderr.take(), Arc::clone(&printed)));
                let ended = match timeout(self.limit, child.wait()).await {
                    Ok(status) => Ended::Code(status?.code()),
                    Err(_) => {
                        sys::kill_group(&mut child);
                        child.wait().await?;
                        Ended::TimedOut
                    }
                };
                let _ = timeout(LAST_WORDS, async { tokio::join!(out, err) }).await;
                Ok(ended)
            })
            .doing(doing)?;
        let output = printed.lock().unwrap_or_else(PoisonError::into_inner).text();
        talk.add(output.as_bytes());
        if !output.is_empty() && !output.ends_with('\n') {
            talk.line("");
        }
        Ok(Ran { ended, output })
    }
}

impl Ran {
    pub(crate) fn succeeded(&self) -> bool {
        self.ended == Ended::Code(Some(0))
    }
    /// Describes how the program ended, for people.
    pub(crate) fn words(&self) -> String {
        match self.ended {
            Ended::Code(Some(code)) => format!("exited with code {code}"),
            Ended::Code(None) => "was killed by a signal".into(),
            Ended::TimedOut => "timed out and was killed".into(),
        }
    }
}

async fn keep_end(pipe: Option<impl AsyncRead + Unpin>, printed: Arc<Mutex<Talk>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        printed.lock().unwrap_or_else(PoisonError::into_inner).add(&buffer[..count]);
    }
}

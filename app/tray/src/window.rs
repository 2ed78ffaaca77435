//! The window is a process of its own: the tray stays small, and a graphics driver that falls over takes only the window
//! with it. Why one could not be opened is reported, since nobody sees its standard error.

use banyan_face::{Page, SHOWN, Show};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Starts windows.
pub(crate) struct Windows {
    program: PathBuf,
    socket: PathBuf,
    open: Option<Open>,
    /// No panel shows the icon: the window says so.
    pub(crate) no_tray: bool,
}

impl Windows {
    /// The window program lies beside this one.
    pub(crate) fn new(socket: PathBuf) -> Self {
        let name = format!("banyan-window{}", std::env::consts::EXE_SUFFIX);
        let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(|folder| folder.join(&name)));
        Self { program: beside.unwrap_or_else(|| name.into()), socket, open: None, no_tray: false }
    }

    /// Opens the window and has it show this, or tells the open one to. `ended` is called at the end of a window, unless it
    /// was closed and nothing is left to be said.
    pub(crate) fn open(&mut self, show: &Show, ended: impl FnOnce(Ended) + Send + 'static) {
        let Some(line) = show.line() else {
            return ended(Ended::Failed("the file's name has characters that cannot be passed on".to_owned()));
        };
        if let Some(open) = &mut self.open
            && open.tell(show, &line)
        {
            return;
        }
        match self.start(show) {
            Ok((open, stderr)) => {
                let told = Arc::clone(&open.told);
                self.open = Some(open);
                thread::spawn(move || watch(stderr, &told, ended));
            }
            Err(error) => ended(Ended::Failed(format!("cannot start {}: {error}", self.program.display()))),
        }
    }

    fn start(&self, show: &Show) -> std::io::Result<(Open, Option<ChildStderr>)> {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).arg("--told-by-stdin");
        match show {
            Show::Page(page) => command.args(["--page", page.code()]),
            Show::Package(path) => command.args(["--page", Page::Updates.code(), "--package"]).arg(path),
        };
        if self.no_tray {
            command.arg("--no-tray");
        }
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take();
        Ok((Open { child, told: Arc::default() }, stderr))
    }
}

/// How a window ended that did not just close.
pub(crate) enum Ended {
    /// It could not be opened, or fell over.
    Failed(String),
    /// It was told to show this, and closed before it did.
    Missed(Show),
}

/// What a window was told and has not shown yet.
type Told = Mutex<VecDeque<Show>>;

struct Open {
    child: Child,
    told: Arc<Told>,
}

impl Open {
    /// Tells it to show this; false when it has ended.
    fn tell(&mut self, show: &Show, line: &str) -> bool {
        // Held while writing: whoever sees the window end sees also what it was told last.
        let mut told = lock(&self.told);
        let runs = matches!(self.child.try_wait(), Ok(None));
        let Some(stdin) = self.child.stdin.as_mut().filter(|_| runs) else { return false };
        let written = writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok();
        if written {
            told.push_back(show.clone());
        }
        written
    }
}

fn lock(told: &Told) -> MutexGuard<'_, VecDeque<Show>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what the window says until it ends. The last error says why, as in every program; one that was closed says nothing.
fn watch(stderr: Option<ChildStderr>, told: &Told, ended: impl FnOnce(Ended)) {
    let mut error = None;
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
        if line == SHOWN {
            drop(lock(told).pop_front());
        } else if let Some(why) = line.strip_prefix("error: ") {
            error = Some(why.to_owned());
        }
    }
    let missed = lock(told).pop_back();
    match (error, missed) {
        (Some(why), _) => ended(Ended::Failed(why)),
        (None, Some(show)) => ended(Ended::Missed(show)),
        (None, None) => {}
    }
}

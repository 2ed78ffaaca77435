//! The window is a process of its own: the tray stays small, and a graphics driver that falls over takes only the window
//! with it. Why one could not be opened is reported, since nobody sees its standard error.

use banyan_face::{Page, SHOWN, Show};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
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
            Ok((open, child)) => {
                let told = Arc::clone(&open.told);
                self.open = Some(open);
                thread::spawn(move || watch(child, &told, ended));
            }
            Err(error) => ended(Ended::Failed(format!("cannot start {}: {error}", self.program.display()))),
        }
    }

    fn start(&self, show: &Show) -> std::io::Result<(Open, Child)> {
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
        let stdin = child.stdin.take();
        Ok((Open { stdin, told: Arc::default() }, child))
    }
}

/// How a window ended that did not just close.
pub(crate) enum Ended {
    /// It could not be opened, or fell over.
    Failed(String),
    /// It was told to show this, and closed before it did.
    Missed(Show),
}

/// What a window was told.
#[derive(Default)]
struct Told {
    /// And has not shown yet.
    left: VecDeque<Show>,
    /// It has ended and shows nothing any more.
    ended: bool,
}

struct Open {
    stdin: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
}

impl Open {
    /// Tells it to show this; false when it has ended.
    fn tell(&mut self, show: &Show, line: &str) -> bool {
        // Held while writing: whoever sees the window end sees also what it was told last. That a line can be written says
        // nothing about a process that is just ending.
        let mut told = lock(&self.told);
        let Some(stdin) = self.stdin.as_mut().filter(|_| !told.ended) else { return false };
        let written = writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok();
        if written {
            told.left.push_back(show.clone());
        }
        written
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what the window says until it ends. The last error says why, as in every program; one that was closed says nothing.
fn watch(mut child: Child, told: &Mutex<Told>, ended: impl FnOnce(Ended)) {
    let mut error = None;
    let stderr = child.stderr.take();
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
        if line == SHOWN {
            drop(lock(told).left.pop_front());
        } else if let Some(why) = line.strip_prefix("error: ") {
            error = Some(why.to_owned());
        }
    }
    let missed = {
        let mut told = lock(told);
        told.ended = true;
        told.left.pop_back()
    };
    // Else the system keeps its place.
    drop(child.wait());
    match (error, missed) {
        (Some(why), _) => ended(Ended::Failed(why)),
        (None, Some(show)) => ended(Ended::Missed(show)),
        (None, None) => {}
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, sync::mpsc::channel};

    /// How a window ends that was started, told to show the schedule, and behaves as this script says.
    fn end_of(script: &str) -> Option<Ended> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("window");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut windows = Windows { program, socket: folder.path().join("none"), open: None, no_tray: false };
        let (say, heard) = channel();
        for (page, say) in [(Page::Updates, say.clone()), (Page::Schedule, say)] {
            windows.open(&Show::Page(page), move |ended| drop(say.send(ended)));
        }
        heard.recv().ok()
    }

    #[test]
    fn what_a_window_did_not_show_before_it_closed_is_shown_by_the_next() {
        let missed = end_of("read first");
        assert!(matches!(missed, Some(Ended::Missed(Show::Page(Page::Schedule)))), "it read, and closed");
        assert!(end_of("read first; echo shown >&2").is_none(), "it has shown everything");
        let failed = end_of("read first; echo shown >&2; echo 'error: no screen' >&2");
        assert!(matches!(failed, Some(Ended::Failed(why)) if why == "no screen"));
    }
}

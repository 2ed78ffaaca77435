//! Starts the window as a process of its own. That keeps the tray small, and a crash in a graphics driver ends only the
//! window. Errors of the window are reported to the tray, because people do not see its standard error.

use banyan_ui_common::{Page, SHOWN, Show};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Starts the window and sends it what to show.
pub(crate) struct Windows {
    program: PathBuf,
    socket: PathBuf,
    open: Option<Open>,
    /// No panel shows the icon; the window then says so.
    pub(crate) no_tray: bool,
}

impl Windows {
    /// Returns a launcher for the window program, which is in the same folder as this one.
    pub(crate) fn new(socket: PathBuf) -> Self {
        let name = format!("banyan-window{}", std::env::consts::EXE_SUFFIX);
        let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(|folder| folder.join(&name)));
        Self { program: beside.unwrap_or_else(|| name.into()), socket, open: None, no_tray: false }
    }

    /// Shows this in the open window, or opens one. Calls `ended` when the window ends with an error or without having
    /// shown everything.
    pub(crate) fn open(&mut self, show: &Show, ended: impl FnOnce(Ended) + Send + 'static) {
        let Some(line) = show.line() else {
            return ended(Ended::Failed("the file name contains a line break or is not valid Unicode".to_owned()));
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

/// How a window ended, other than being closed.
pub(crate) enum Ended {
    /// The window failed to open or crashed.
    Failed(String),
    /// The window was closed before it showed this.
    Missed(Show),
}

/// The requests sent to a window.
#[derive(Default)]
struct Told {
    /// Requests that the window has not shown yet.
    left: VecDeque<Show>,
    /// The window has ended.
    ended: bool,
}

struct Open {
    stdin: Option<ChildStdin>,
    told: Arc<Mutex<Told>>,
}

impl Open {
    /// Sends a request to the window; returns false when it has ended.
    fn tell(&mut self, show: &Show, line: &str) -> bool {
        // The lock is held while writing, so the thread that sees the window end also sees the last request. A
        // successful write proves nothing: the process may be ending.
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

/// Reads the window's standard error until it ends. The last error line says why it ended; a window that was closed
/// prints none.
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
    // Reap the process.
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

    /// Returns how a window ends that runs this script after it was asked to show the schedule.
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
        assert!(matches!(missed, Some(Ended::Missed(Show::Page(Page::Schedule)))), "it read the request and closed");
        assert!(end_of("read first; echo shown >&2").is_none(), "it showed everything");
        let failed = end_of("read first; echo shown >&2; echo 'error: no screen' >&2");
        assert!(matches!(failed, Some(Ended::Failed(why)) if why == "no screen"));
    }
}

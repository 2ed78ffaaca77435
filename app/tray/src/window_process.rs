//! Starts the window as a process of its own. That keeps the tray small, and a crash in a graphics driver ends only the
//! window. Errors of the window are reported to the tray, because people do not see its standard error.

use crate::sibling_program::sibling_program;
use banyan_ui_common::{OpenRequest, Page, SHOWN_MARKER, texts};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Starts the window and sends it what to show.
pub(crate) struct WindowLauncher {
    program: PathBuf,
    socket: PathBuf,
    running: Option<RunningWindow>,
    /// No panel shows the icon; the window then says so.
    pub(crate) has_no_panel: bool,
}

impl WindowLauncher {
    /// Returns a launcher for the window program, which is in the same folder as this one.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { program: sibling_program("banyan-window"), socket, running: None, has_no_panel: false }
    }

    /// Shows this in the open window, or opens one. Calls `on_exit` when the window ends with an error or without having
    /// shown everything.
    pub(crate) fn open(&mut self, request: &OpenRequest, on_exit: impl FnOnce(WindowExit) + Send + 'static) {
        let Some(line) = request.to_line() else {
            return on_exit(WindowExit::Failed(texts::tray_menu::FILE_NAME_UNUSABLE.to_owned()));
        };
        if let Some(running) = &mut self.running
            && running.send(request, &line)
        {
            return;
        }
        match self.start(request) {
            Ok((running, child)) => {
                let pending = Arc::clone(&running.pending);
                self.running = Some(running);
                thread::spawn(move || watch(child, &pending, on_exit));
            }
            Err(error) => {
                banyan_ui_common::print_error(&format!("cannot start {}: {error}", self.program.display()));
                let why = match error.kind() {
                    std::io::ErrorKind::NotFound => texts::tray_menu::WINDOW_MISSING,
                    _ => texts::tray_menu::WINDOW_NOT_STARTED,
                };
                on_exit(WindowExit::Failed(why.to_owned()));
            }
        }
    }

    fn start(&self, request: &OpenRequest) -> std::io::Result<(RunningWindow, Child)> {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).arg("--told-by-stdin");
        match request {
            OpenRequest::Page(page) => command.args(["--page", page.code()]),
            OpenRequest::Package(path) => command.args(["--page", Page::Updates.code(), "--package"]).arg(path),
        };
        if self.has_no_panel {
            command.arg("--no-tray");
        }
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        Ok((RunningWindow { stdin, pending: Arc::default() }, child))
    }
}

/// How a window ended, other than being closed.
pub(crate) enum WindowExit {
    /// The window failed to open or crashed.
    Failed(String),
    /// The window was closed before it showed this.
    NotShown(OpenRequest),
}

/// The requests sent to a window.
#[derive(Default)]
struct PendingRequests {
    /// Requests that the window has not shown yet.
    unshown: VecDeque<OpenRequest>,
    /// The window has ended.
    has_ended: bool,
}

struct RunningWindow {
    stdin: Option<ChildStdin>,
    pending: Arc<Mutex<PendingRequests>>,
}

impl RunningWindow {
    /// Sends a request to the window; returns false when it has ended.
    fn send(&mut self, request: &OpenRequest, line: &str) -> bool {
        // The lock is held while writing, so the thread that sees the window end also sees the last request. A
        // successful write proves nothing: the process may be ending.
        let mut pending = lock(&self.pending);
        let Some(stdin) = self.stdin.as_mut().filter(|_| !pending.has_ended) else { return false };
        let written = writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok();
        if written {
            pending.unshown.push_back(request.clone());
        }
        written
    }
}

fn lock(pending: &Mutex<PendingRequests>) -> MutexGuard<'_, PendingRequests> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the window's standard error until it ends. The last error line says why it ended; a window that was closed
/// prints none.
fn watch(mut child: Child, pending: &Mutex<PendingRequests>, on_exit: impl FnOnce(WindowExit)) {
    let mut error = None;
    let stderr = child.stderr.take();
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
        if line == SHOWN_MARKER {
            drop(lock(pending).unshown.pop_front());
        } else if let Some(why) = line.strip_prefix("error: ") {
            error = Some(why.to_owned());
        }
    }
    let not_shown = {
        let mut pending = lock(pending);
        pending.has_ended = true;
        pending.unshown.pop_back()
    };
    // Reap the process.
    drop(child.wait());
    match (error, not_shown) {
        (Some(why), _) => on_exit(WindowExit::Failed(why)),
        (None, Some(request)) => on_exit(WindowExit::NotShown(request)),
        (None, None) => {}
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, sync::mpsc::channel};

    /// Returns how a window ends that runs this script after it was asked to show the schedule.
    fn end_of(script: &str) -> Option<WindowExit> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("window");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut windows =
            WindowLauncher { program, socket: folder.path().join("none"), running: None, has_no_panel: false };
        let (say, heard) = channel();
        for (page, say) in [(Page::Updates, say.clone()), (Page::Schedule, say)] {
            windows.open(&OpenRequest::Page(page), move |ended| drop(say.send(ended)));
        }
        heard.recv().ok()
    }

    #[test]
    fn a_request_that_a_closing_window_missed_goes_to_the_next() {
        let missed = end_of("read first");
        assert!(
            matches!(missed, Some(WindowExit::NotShown(OpenRequest::Page(Page::Schedule)))),
            "it read the request and closed"
        );
        assert!(end_of("read first; echo shown >&2").is_none(), "it showed everything");
        let failed = end_of("read first; echo shown >&2; echo 'error: no screen' >&2");
        assert!(matches!(failed, Some(WindowExit::Failed(why)) if why == "no screen"));
    }
}

//! The window is a process of its own: the tray stays small, and a graphics driver that falls over takes only the window
//! with it. Why one could not be opened is reported, since nobody sees its standard error.

use banyan_face::{Page, Show};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

/// Starts windows.
pub(crate) struct Windows {
    program: PathBuf,
    socket: PathBuf,
    open: Option<Child>,
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

    /// Opens the window and has it show this, or tells the open one to. `failed` is called with the reason when it ends badly.
    pub(crate) fn open(&mut self, show: &Show, failed: impl FnOnce(String) + Send + 'static) {
        let Some(line) = show.line() else {
            return failed("the file's name has characters that cannot be passed on".to_owned());
        };
        if let Some(child) = &mut self.open
            && matches!(child.try_wait(), Ok(None))
            // Its standard input takes what to show. One that ends just now is opened anew.
            && let Some(stdin) = &mut child.stdin
            && writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_ok()
        {
            return;
        }
        match self.start(show) {
            Ok((child, watch)) => {
                self.open = Some(child);
                thread::spawn(move || watch(Box::new(failed)));
            }
            Err(error) => failed(format!("cannot start {}: {error}", self.program.display())),
        }
    }

    fn start(&self, show: &Show) -> std::io::Result<(Child, Watch)> {
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
        // The last line says why, as in every program; a window that was closed says nothing.
        let watch = move |failed: Box<dyn FnOnce(String)>| {
            let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
            if let Some(last) = lines.map_while(Result::ok).filter(|line| line.starts_with("error: ")).last() {
                failed(last.trim_start_matches("error: ").to_owned());
            }
        };
        Ok((child, Box::new(watch)))
    }
}

type Watch = Box<dyn FnOnce(Box<dyn FnOnce(String)>) + Send>;

//! Notices the end of the session: its display is gone. The message bus of a person can last longer, and so would the tray:
//! it would keep the lock, and the tray of the next session would end at once.

use std::{io::Read as _, os::unix::net::UnixStream, path::PathBuf, thread, time::Duration};
use x11rb::{connection::Connection as _, rust_connection::RustConnection};

/// How long a display may be away. A compositor that crashed can come back with the same socket.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

/// Returns whether this session is one of Wayland.
pub(crate) fn is_wayland() -> bool {
    wayland_socket().is_some()
}

fn wayland_socket() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let name = variable("WAYLAND_DISPLAY")?;
    Some(variable("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default().join(name))
}

/// Calls `end` on a thread of its own when the display of this session has closed. Never when there is none.
pub(crate) fn watch(end: impl FnOnce() + Send + 'static) {
    let Some(mut display) = DisplayConnection::open() else { return };
    thread::spawn(move || {
        loop {
            display.wait_for_end();
            match reopen() {
                Some(again) => display = again,
                None => return end(),
            }
        }
    });
}

/// Tries for some time whether the display comes back.
fn reopen() -> Option<DisplayConnection> {
    let attempts = PATIENCE.as_millis() / PAUSE.as_millis();
    (0..attempts).find_map(|_| {
        thread::sleep(PAUSE);
        DisplayConnection::open()
    })
}

/// A connection to the display, over which nothing is asked.
enum DisplayConnection {
    Wayland(UnixStream),
    /// A complete one: the X server ends those that say nothing.
    X(Box<RustConnection>),
}

impl DisplayConnection {
    fn open() -> Option<Self> {
        match wayland_socket() {
            Some(socket) => UnixStream::connect(socket).ok().map(Self::Wayland),
            None => x11rb::connect(None).ok().map(|(x, _)| Self::X(Box::new(x))),
        }
    }
    fn wait_for_end(&mut self) {
        match self {
            Self::Wayland(stream) => while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {},
            Self::X(x) => while x.wait_for_event().is_ok() {},
        }
    }
}

//! The display that the window is on. When it closes, as at the end of a session, the window ends without a word: the
//! libraries would report their own confusion, or panic.

use std::sync::Arc;

/// A connection to the display of this session, on which nothing is said. It ends when the display closes.
pub(crate) struct Display(Connection);

impl Display {
    /// Connects to the display, before the window does.
    pub(crate) fn connect() -> Arc<Self> {
        Arc::new(Self(Connection::open()))
    }
    /// Ends the program quietly when a library panics because the display is gone.
    pub(crate) fn end_quietly_with_it(self: &Arc<Self>) {
        let (report, display) = (std::panic::take_hook(), Arc::clone(self));
        std::panic::set_hook(Box::new(move |panic| {
            // Also while the window is being opened: a display that was never there is an error, not a panic.
            if display.is_gone() {
                std::process::exit(0);
            }
            report(panic);
        }));
    }
    /// Returns whether the display has closed, or was never there. A display that closes ends its connections one after
    /// another, so this waits up to a second. Unknown displays count as open.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.has_ended()
    }
}

#[cfg(target_os = "linux")]
use linux::Connection;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io::{ErrorKind, Read},
        net::TcpStream,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixStream},
        },
        path::{Path, PathBuf},
        time::Duration,
    };

    /// How long the end of the connection may come after that of another one.
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) enum Connection {
        /// Wayland, or X11 on this machine.
        Local(UnixStream),
        /// X11 on another machine.
        Remote(TcpStream),
        /// There is no display.
        Nothing,
        /// A display that is named in an unknown way.
        Unknown,
    }

    impl Connection {
        pub(super) fn open() -> Self {
            let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
            if let Some(name) = variable("WAYLAND_DISPLAY") {
                let folder = variable("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
                return UnixStream::connect(folder.join(name)).map_or(Self::Nothing, Self::Local);
            }
            let Some(display) = variable("DISPLAY") else { return Self::Nothing };
            let Some((host, number)) = display.rsplit_once(':') else { return Self::Unknown };
            let Ok(number) = number.split('.').next().unwrap_or_default().parse::<u16>() else { return Self::Unknown };
            if host.is_empty() || host == "unix" {
                let path = format!("/tmp/.X11-unix/X{number}");
                let hidden =
                    SocketAddr::from_abstract_name(&path).and_then(|address| UnixStream::connect_addr(&address));
                let connected = hidden.or_else(|_| UnixStream::connect(Path::new(&path)));
                return connected.map_or(Self::Nothing, Self::Local);
            }
            let Some(port) = number.checked_add(6000) else { return Self::Unknown };
            TcpStream::connect((host, port)).map_or(Self::Nothing, Self::Remote)
        }
        pub(super) fn has_ended(&self) -> bool {
            let ended = |result: std::io::Result<usize>| match result {
                Ok(read) => read == 0,
                Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            };
            match self {
                Self::Local(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).is_err() || ended((&*stream).read(&mut [0]))
                }
                Self::Remote(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).is_err() || ended((&*stream).read(&mut [0]))
                }
                Self::Nothing => true,
                Self::Unknown => false,
            }
        }
    }
}

/// Other systems have no display that can end before the program.
#[cfg(not(target_os = "linux"))]
struct Connection;

#[cfg(not(target_os = "linux"))]
impl Connection {
    fn open() -> Self {
        Self
    }
    fn has_ended(&self) -> bool {
        false
    }
}

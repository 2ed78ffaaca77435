//! The display that the window is on. When it closes, as at the end of a session, the window ends without a word: the
//! libraries would report their own confusion, or panic.

/// Ends the program quietly when a library panics because the display is gone.
pub(crate) fn end_quietly_with_it() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Also while the window is being opened: a display that was never there is an error, not a panic.
        if is_gone() {
            std::process::exit(0);
        }
        report(panic);
    }));
}

/// Returns whether the display of this session does not answer. Unknown systems count as answering.
#[cfg(target_os = "linux")]
pub(crate) fn is_gone() -> bool {
    use std::{
        net::TcpStream,
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixStream},
        },
        path::{Path, PathBuf},
    };
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(name) = variable("WAYLAND_DISPLAY") {
        let folder = variable("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
        return UnixStream::connect(folder.join(name)).is_err();
    }
    let Some(display) = variable("DISPLAY") else { return true };
    let Some((host, number)) = display.rsplit_once(':') else { return false };
    let Ok(number) = number.split('.').next().unwrap_or_default().parse::<u16>() else { return false };
    if host.is_empty() || host == "unix" {
        let path = format!("/tmp/.X11-unix/X{number}");
        let hidden = SocketAddr::from_abstract_name(&path).and_then(|address| UnixStream::connect_addr(&address));
        return hidden.is_err() && UnixStream::connect(Path::new(&path)).is_err();
    }
    number.checked_add(6000).is_some_and(|port| TcpStream::connect((host, port)).is_err())
}

/// Other systems have no display that can end before the program.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_gone() -> bool {
    false
}

//! A Wayland display that is named but gone, beside one of X11 that may work: as in a session of X11 that was started from
//! one of Wayland, over SSH, or in `tmux`. Windowing libraries try the Wayland display alone, and fail.

/// Starts this program again without the name of a Wayland display that nobody answers at, if there is one of X11. Call
/// it first. Returns if there is nothing to change, or if this fails.
#[cfg(target_os = "linux")]
pub fn leave() {
    use std::os::unix::process::CommandExt as _;
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(name) = variable(WAYLAND) else { return };
    let socket = variable("XDG_RUNTIME_DIR").map(std::path::PathBuf::from).unwrap_or_default().join(name);
    if variable("DISPLAY").is_none() || std::os::unix::net::UnixStream::connect(socket).is_ok() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(own_name) = arguments.next() {
        again.arg0(own_name);
    }
    // Without the variable it does not come here again.
    let error = again.args(arguments).env_remove(WAYLAND).exec();
    crate::print_error(&format!("warning: cannot leave the Wayland display out: {error}"));
}

/// The variable that names the Wayland display.
#[cfg(target_os = "linux")]
const WAYLAND: &str = "WAYLAND_DISPLAY";

/// Does nothing: this system has no Wayland.
#[cfg(not(target_os = "linux"))]
pub fn leave() {}

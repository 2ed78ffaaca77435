//! What differs by operating system in the command line: signals, file modes, process groups, names of platforms.

use std::path::Path;

/// Ends when the user or the system asks this process to end (Ctrl-C, SIGTERM, SIGHUP; on Windows Ctrl-C, Ctrl-Break
/// and closing the console).
///
/// # Errors
/// When the system does not let signals be caught.
#[cfg(unix)]
pub(crate) async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate, mut hangup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
/// Ends when the user or the system asks this process to end.
///
/// # Errors
/// When the system does not let signals be caught.
#[cfg(windows)]
pub(crate) async fn interrupted() -> std::io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
    let (mut interrupt, mut stop, mut close) = (ctrl_c()?, ctrl_break()?, ctrl_close()?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = stop.recv() => {}
        _ = close.recv() => {}
    }
    Ok(())
}

/// A child in a process group of its own: Ctrl-C in the terminal reaches this process only, which then ends the child in
/// good order.
pub(crate) fn apart(command: &mut tokio::process::Command) {
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }
}

/// Whether nobody but its owner can read the file. Where the system has no modes the folder's rights decide, and the
/// answer is yes.
///
/// # Errors
/// When the file cannot be looked at.
pub(crate) fn is_private(path: &Path) -> std::io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(metadata.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(true)
    }
}

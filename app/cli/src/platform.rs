//! Platform differences of the command line: signals, file modes and process groups.

use std::path::Path;

/// Completes when the user or the system asks this process to stop (Ctrl-C, SIGTERM, or SIGHUP unless `nohup` started
/// it).
///
/// # Errors
/// Returns an error when no signal handler can be installed.
#[cfg(unix)]
pub(crate) async fn wait_for_interrupt() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A handler would undo what `nohup` has set.
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hung_up => {}
    }
    Ok(())
}

/// Returns whether this process ignores SIGHUP, as Linux says. Unknown counts as no.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Completes when the user or the system asks this process to stop (Ctrl-C, Ctrl-Break, closing the console).
///
/// # Errors
/// Returns an error when no signal handler can be installed.
#[cfg(windows)]
pub(crate) async fn wait_for_interrupt() -> std::io::Result<()> {
    use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close};
    let (mut interrupt, mut stop, mut close) = (ctrl_c()?, ctrl_break()?, ctrl_close()?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = stop.recv() => {}
        _ = close.recv() => {}
    }
    Ok(())
}

/// Puts a child into its own process group. Ctrl-C in the terminal then reaches this process only, which stops the
/// child in an orderly way.
pub(crate) fn put_into_own_process_group(command: &mut tokio::process::Command) {
    #[cfg(unix)]
    command.process_group(0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }
}

/// Returns whether only its owner can read the file. Systems without file modes rely on the folder's permissions; there
/// the result is `true`.
///
/// # Errors
/// Returns an error when the file's metadata cannot be read.
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

/// Returns whether the system starts no programs from this folder (`noexec`). Unknown counts as no.
pub(crate) fn forbids_programs(folder: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::statvfs::{FsFlags, statvfs};
        statvfs(folder).is_ok_and(|about| about.flags().contains(FsFlags::ST_NOEXEC))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        false
    }
}

//! The limit of the size of files (`ulimit -f`, LimitFSIZE). A write beyond it ends a process with a signal, without a
//! word, unless the process asks for an error.

/// Lets a write beyond the limit fail with an error. Threads that exist already keep the default, so programs call this
/// first.
#[cfg(unix)]
pub fn fail_beyond_limit() {
    use nix::sys::signal::{SigSet, Signal};
    // A blocked signal does not end the process. Programs that it starts begin with nothing blocked.
    if let Err(error) = SigSet::from(Signal::SIGXFSZ).thread_block() {
        tracing::debug!(%error, "cannot block SIGXFSZ");
    }
}

/// Does nothing: this system has no such limit.
#[cfg(not(unix))]
pub fn fail_beyond_limit() {}

//! The functions for Linux and other Unix systems.

mod secure_directory;
mod socket;

pub(crate) use secure_directory::ensure_private;
pub use socket::SYSTEM_SOCKET;
pub(crate) use socket::{MAX_SOCKET_PATH, connect_own, listen_own, listen_shared, peer_user};

/// Whether the agent decides what a caller may do. On other systems the operating system has decided it before.
pub(crate) const CHECKS_CALLERS: bool = true;

/// Returns the user of this process.
pub(crate) fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

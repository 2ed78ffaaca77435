//! Functions that differ by operating system, under the same names.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::SYSTEM_SOCKET;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
mod windows;
#[cfg(not(unix))]
pub use windows::SYSTEM_SOCKET;
#[cfg(not(unix))]
pub(crate) use windows::*;

/// Whether a folder's group may have write access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAccess {
    /// Only an ordinary user's own primary group. Many systems give each user a private group and make folders
    /// writable for it.
    OwnPrimary,
    /// No group may write.
    Nobody,
}

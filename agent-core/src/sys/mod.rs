//! Code that differs between operating systems. Each file has the same functions.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{create_folder, owner_only, stored_bytes, termination_request};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::{create_folder, owner_only, stored_bytes, termination_request};

#[cfg(target_os = "linux")]
mod events_linux;
#[cfg(target_os = "linux")]
pub(crate) use events_linux::{ClockEvents, FileEvents, NetworkEvents};

#[cfg(not(target_os = "linux"))]
mod events_other;
#[cfg(not(target_os = "linux"))]
pub(crate) use events_other::{ClockEvents, FileEvents, NetworkEvents};

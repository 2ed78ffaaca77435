//! Functions that differ by operating system, under the same names.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(unix)]
mod attributes;
#[cfg(unix)]
pub(crate) use attributes::*;

#[cfg(target_os = "linux")]
mod extended_attributes;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

mod in_use;
#[cfg(target_os = "linux")]
mod mounts;
pub(crate) use in_use::{VersionFolder, are_in_use};

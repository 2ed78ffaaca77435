//! The limit of open files. Each connection is an open file, and services usually start with a limit of 1,024, far below
//! what the system allows them.

/// The limit assumed where the system has none or does not tell it.
const UNLIMITED: usize = 1 << 20;

/// The limits of open files of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFileLimit {
    /// How many files can be open at once.
    pub soft: usize,
    /// Up to where this process may raise that limit itself.
    pub hard: usize,
}

/// Returns the limits in force.
#[cfg(unix)]
#[must_use]
pub fn limit() -> OpenFileLimit {
    let found = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let number = |limit: Option<u64>| {
        limit.and_then(|limit| usize::try_from(limit).ok()).map_or(UNLIMITED, |limit| limit.min(UNLIMITED))
    };
    OpenFileLimit { soft: number(found.current), hard: number(found.maximum) }
}

/// Raises the limit as far as the system allows, and returns it.
#[cfg(unix)]
pub fn raise_limit() -> OpenFileLimit {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let before = limit();
    if before.soft < before.hard {
        let mut wanted = getrlimit(Resource::Nofile);
        wanted.current = Some(before.hard as u64);
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "cannot raise the limit of open files from {} to {}", before.soft, before.hard);
        }
    }
    limit()
}

/// Returns a large number: this system limits open files by memory only.
#[cfg(not(unix))]
#[must_use]
pub fn limit() -> OpenFileLimit {
    OpenFileLimit { soft: UNLIMITED, hard: UNLIMITED }
}

/// Returns a large number: this system limits open files by memory only.
#[cfg(not(unix))]
pub fn raise_limit() -> OpenFileLimit {
    limit()
}

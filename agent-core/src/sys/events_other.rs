//! Systems whose events are not listened to yet: nothing opens, and the caller looks from time to time instead.

use std::{io, path::Path};

/// Reports nothing.
pub(crate) enum ClockEvents {}
/// Reports nothing.
pub(crate) enum NetworkEvents {}
/// Reports nothing.
pub(crate) enum FileEvents {}

fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl ClockEvents {
    pub(crate) fn open() -> io::Result<Self> {
        unsupported()
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        match *self {}
    }
}

impl NetworkEvents {
    pub(crate) fn open() -> io::Result<Self> {
        unsupported()
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        match *self {}
    }
}

impl FileEvents {
    pub(crate) fn open(_: &Path) -> io::Result<Self> {
        unsupported()
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        match *self {}
    }
}

//! What publishers signed, and its files.

pub(crate) mod artifacts;
pub(crate) mod publication;
pub mod repository;
pub(crate) mod repository_cache;
pub(crate) mod uploads;
pub(crate) mod withdrawal;

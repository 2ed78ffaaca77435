//! The helper's own folder: its files, the copy of the artifact, the journal, and free disk space.

pub(crate) mod files;
pub(crate) mod free_space;
pub(crate) mod journal;
pub(crate) mod layout;
pub(crate) mod places;
pub(crate) mod staging;

//! Tests hostile archives (escaping paths, decompression bombs, ambiguous headers) and valid ones.

pub(crate) mod archive_builder;
mod hostile_archives;
mod path_names;
mod valid_archives;

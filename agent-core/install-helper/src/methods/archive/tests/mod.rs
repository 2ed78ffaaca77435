//! Tests hostile archives (escaping paths, decompression bombs, ambiguous headers) and valid ones, in both passes.

mod dialects;
mod hostile_archives;
mod valid_archives;

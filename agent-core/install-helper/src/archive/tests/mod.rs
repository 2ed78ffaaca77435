//! Tests hostile archives (escaping paths, decompression bombs, ambiguous headers) and valid ones.

mod attacks;
pub(crate) mod fixtures;
mod honest;
mod names;

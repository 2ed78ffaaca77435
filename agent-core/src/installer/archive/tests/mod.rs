//! Archives made to break out, to fill the disk, or to look like another archive; and honest ones.

mod attacks;
pub(in crate::installer) mod fixtures;
mod honest;
mod names;

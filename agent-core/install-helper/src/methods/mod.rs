//! The kinds of packages: one install method each.

pub(crate) mod archive;
pub(crate) mod deb;
pub(crate) mod install_method;

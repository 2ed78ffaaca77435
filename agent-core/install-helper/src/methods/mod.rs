//! The kinds of packages: one install method each.

pub(crate) mod archive;
pub(crate) mod deb;
pub(crate) mod install_method;

use crate::storage::layout::Layout;
use archive::Archive;
use banyan_proto::manifest::Kind;
use deb::Deb;
use install_method::Method;

/// Returns the install method for a kind of package.
pub(crate) fn method(kind: Kind, layout: &Layout) -> Box<dyn Method> {
    match kind {
        Kind::Archive => Box::new(Archive::new(layout)),
        Kind::Deb => Box::new(Deb::new(layout)),
    }
}

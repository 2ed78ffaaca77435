//! The kinds of packages: one install method each.

pub(crate) mod archive;
pub(crate) mod deb;
pub(crate) mod install_method;

use crate::storage::layout::Layout;
use archive::ArchiveMethod;
use banyan_proto::manifest::Kind;
use deb::DebMethod;
use install_method::InstallMethod;

/// Returns the install method for a kind of package.
pub(crate) fn install_method_for(kind: Kind, layout: &Layout) -> Box<dyn InstallMethod> {
    match kind {
        Kind::Archive => Box::new(ArchiveMethod::new(layout)),
        Kind::Deb => Box::new(DebMethod::new(layout)),
    }
}

//! The kinds of packages: one install method each.

pub(crate) mod archive;
pub(crate) mod deb;
pub(crate) mod install_method;
mod other_kind;

use crate::{error::InstallError, release::VerifiedRelease, storage::layout::Layout};
use archive::ArchiveMethod;
use banyan_proto::{Reason, manifest::Kind};
use deb::DebMethod;
use install_method::InstallMethod;

/// Returns the install method for a kind of package.
///
/// # Errors
/// [`Reason::NotUnderstood`] for a kind that only newer versions can install.
pub(crate) fn install_method_for(kind: Kind, layout: &Layout) -> Result<Box<dyn InstallMethod>, InstallError> {
    match kind {
        Kind::Archive => Ok(Box::new(ArchiveMethod::new(layout))),
        Kind::Deb => Ok(Box::new(DebMethod::new(layout))),
        Kind::Unknown => Err(InstallError::new(
            Reason::NotUnderstood,
            "only a newer version of Banyan can install this kind of package",
        )),
    }
}

/// Refuses a release whose package is installed as another kind.
///
/// # Errors
/// [`Reason::OtherKind`], or that the machine's packages cannot be read.
pub(crate) fn refuse_other_kind(release: &VerifiedRelease, layout: &Layout) -> Result<(), InstallError> {
    other_kind::refuse(&release.package, release.spec.kind, layout)
}

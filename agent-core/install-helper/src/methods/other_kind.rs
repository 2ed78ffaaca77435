//! A package that is installed as another kind of package.
//!
//! An archive does not replace a deb of its name, nor a deb an archive: both would be installed, and each would be undone
//! without the other. Servers refuse to publish such a release; this is for what an older one published.

use crate::{
    error::InstallError,
    methods::{archive, deb},
    storage::layout::Layout,
};
use banyan_proto::{Reason, manifest::Kind};

/// Refuses a package that is installed as another kind. A deb that did not come through Banyan is none of its business.
///
/// # Errors
/// [`Reason::OtherKind`] with what is installed and how to remove it.
pub(super) fn refuse(package: &str, kind: Kind, layout: &Layout) -> Result<(), InstallError> {
    let detail = match kind {
        Kind::Archive => deb::installed_through_banyan(package, layout)?.map(|version| {
            format!(
                "{package} {version} is installed here as a deb, which an archive does not replace; \
                 `dpkg --remove {package}` on the machine removes it"
            )
        }),
        Kind::Deb => archive::installed_folder(package, layout)?.map(|folder| {
            format!(
                "{package} is installed here as an archive, which a deb does not replace; to remove it, delete {} on the \
                 machine",
                folder.display()
            )
        }),
        Kind::Unknown => None,
    };
    detail.map_or(Ok(()), |detail| Err(InstallError::new(Reason::OtherKind, detail)))
}

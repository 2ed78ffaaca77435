//! The options that describe a release where its file does not.

use banyan_proto::manifest::Kind;
use banyan_publisher::release_draft::ReleaseOverrides;

/// Properties given on the command line instead of derived from the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Package name [default: derived from the file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Version [default: derived from the file]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Kind of file [default: derived from its extension]
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Platform of the file: linux-x86_64, windows-x86_64, …, any
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Position in the order of releases [default: one above the last]
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Release notes
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

/// [`Kind`] as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum KindArg {
    /// Archive: tar, also with gzip, bzip2, xz or zstd; zip
    Archive,
    /// Debian package
    Deb,
}

impl ReleaseArgs {
    /// Converts to the publisher module's type.
    pub(crate) fn to_overrides(&self) -> ReleaseOverrides {
        ReleaseOverrides {
            name: self.name.clone(),
            version: self.version.clone(),
            kind: self.kind.map(|kind| match kind {
                KindArg::Archive => Kind::Archive,
                KindArg::Deb => Kind::Deb,
            }),
            platform: self.platform.clone(),
            sequence: self.sequence,
            notes: self.notes.clone(),
        }
    }
}

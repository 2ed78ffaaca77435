//! The options that describe a release where its file does not.

use crate::output::{Exit, Failure};
use banyan_proto::manifest::Kind;
use banyan_publisher::release_draft::ReleaseOverrides;
use std::path::Path;

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
    /// Platform: linux-x86_64, windows-x86_64, …, any [default: recognised from the file]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Position in the order of releases [default: one above the last]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// Release notes, in plain text [default: none]
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
    /// Refuses properties that are given for a package file: its release was described and signed when it was built.
    pub(crate) fn check_unused(&self, file: &Path, action: impl Fn() -> String) -> Result<(), Failure> {
        let given = [
            ("--name", self.name.is_some()),
            ("--version", self.version.is_some()),
            ("--kind", self.kind.is_some()),
            ("--platform", self.platform.is_some()),
            ("--sequence", self.sequence.is_some()),
            ("--notes", self.notes.is_some()),
        ];
        let given: Vec<&str> = given.into_iter().filter_map(|(option, is_given)| is_given.then_some(option)).collect();
        if given.is_empty() {
            return Ok(());
        }
        let cause =
            format!("{} was described when it was built, so {} would have no effect", file.display(), given.join(", "));
        let next = "leave these options out, or build the package file again with them";
        Err(Failure::new(action(), cause, next).with_exit(Exit::Usage))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn options_without_effect_are_refused_by_name() {
        let check = |typed: &str| {
            let args: ReleaseArgs = parse(typed).unwrap();
            args.check_unused(Path::new("tool-1.4.banyan"), || "publish it".into())
        };
        check("").unwrap();
        let refused = check("--version 1.5 --notes fast").unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.cause.contains("so --version, --notes would have no effect"), "{refused}");
    }
}

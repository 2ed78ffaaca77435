//! Package files that the fake agent pretends to have been shown: one for each answer that a face must be able to show.

use banyan_proto::{
    Digest, Reason, UnixSeconds,
    api::ApiError,
    local::{Package, PackageFile, Replaces, Signer},
    manifest::{CommandSpec, InstallSpec, Kind},
};
use banyan_trust::package::MAGIC;

/// What the fake agent says of whatever file it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PackageScene {
    /// New here, and may be installed.
    #[default]
    New,
    /// A newer version of what is installed.
    Newer,
    /// An older version of what is installed.
    Older,
    /// Well signed, by somebody whom this machine does not trust.
    Untrusted,
    /// Well signed, by somebody whom the person may trust: the machine belongs to no server.
    Asks,
    /// Changed since it was signed, or signed by nobody.
    Altered,
    /// The publishers took it back.
    Withdrawn,
    /// Older than the publishers allow here.
    BelowFloor,
    /// It has no file for this machine.
    OtherPlatform,
    /// The person may look, but not install.
    NotAllowed,
}

impl PackageScene {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::Newer,
        Self::Older,
        Self::Untrusted,
        Self::Asks,
        Self::Altered,
        Self::Withdrawn,
        Self::BelowFloor,
        Self::OtherPlatform,
        Self::NotAllowed,
    ];
    /// What the agent answers.
    ///
    /// # Errors
    /// Where the real agent shows nothing but the reason, since nothing in the file can be believed.
    pub fn answer(self, now: UnixSeconds) -> Result<Package, ApiError> {
        let mut package = drawing(now);
        let refused = |reason, detail: &str| ApiError { reason, detail: detail.to_owned() };
        let before = |version: &str, sequence| {
            Some(Replaces { version: version.into(), sequence, at: UnixSeconds(now.0 - 40 * 86_400) })
        };
        match self {
            Self::New => {}
            Self::Newer => package.replaces = before("3.0", 30),
            Self::Older => package.replaces = before("3.2", 32),
            Self::Untrusted => {
                package.signer =
                    Signer { root: Digest([0x5e; 32]), keys: vec![key(0x77)], trusted: false, ..package.signer };
                let detail = "this computer does not trust whoever signed it; get the package from your administrator";
                package.refused = Some(refused(Reason::MetadataForged, detail));
            }
            Self::Asks => {
                let signer = package.signer;
                package.signer =
                    Signer { root: Digest([0x5e; 32]), keys: vec![key(0x77)], trusted: false, asks: true, ..signer };
            }
            Self::Altered => {
                let detail = "the targets metadata cannot be believed: too few valid signatures";
                return Err(refused(Reason::MetadataForged, detail));
            }
            Self::Withdrawn => {
                let detail = "the publishers have withdrawn drawing/31.json (their signed list, version 12, says so)";
                package.refused = Some(refused(Reason::Withdrawn, detail));
            }
            Self::BelowFloor => {
                let detail = "drawing has sequence 31, this machine takes 32 or higher";
                package.refused = Some(refused(Reason::BelowFloor, detail));
            }
            Self::OtherPlatform => {
                package.file = None;
                package.refused = Some(refused(Reason::WrongPlatform, "drawing 3.1 has no file for linux-x86_64"));
            }
            Self::NotAllowed => {
                let detail =
                    "this takes the right to install what nobody ordered; ask an administrator of this computer";
                package.refused = Some(refused(Reason::NotAllowed, detail));
            }
        }
        Ok(package)
    }
}

fn key(byte: u8) -> String {
    Digest([byte; 32]).to_string()
}

fn drawing(now: UnixSeconds) -> Package {
    let command = |line: &str| CommandSpec { argv: line.split(' ').map(str::to_owned).collect(), timeout_seconds: 60 };
    let install = InstallSpec {
        kind: Kind::Archive,
        detect: None,
        probe: Some(command("{dir}/bin/drawing --version")),
        undo: None,
        needs_bytes: 210_000_000,
    };
    let name = "drawing-3.1-linux.tar.zst".to_owned();
    Package {
        package: "drawing".into(),
        version: "3.1".into(),
        sequence: 31,
        publisher: "IT of Lakeside School".into(),
        notes: "Opens drawings of the new kind.\nNo longer forgets the colours.".into(),
        manifest: Digest([0x31; 32]),
        signer: Signer {
            root: Digest([0x2a; 32]),
            keys: vec![key(0x41), key(0x42)],
            until: UnixSeconds(now.0 + 120 * 86_400),
            trusted: true,
            asks: false,
        },
        file: Some(PackageFile { platform: "linux-x86_64".into(), name, size: 74_000_000, install }),
        replaces: None,
        refused: None,
    }
}

/// A file that begins as package files do, with so many bytes in all; there is nothing in it that a real agent would believe.
#[must_use]
pub fn package_file(bytes: usize) -> Vec<u8> {
    let mut file = [MAGIC.as_slice(), &2_u32.to_be_bytes(), b"{}"].concat();
    file.resize(bytes.max(file.len()), 0);
    file
}

//! The fake agent's sample package files: one for each answer that the window must be able to show.

use banyan_proto::{
    Digest, Reason, UnixSeconds,
    api::ApiError,
    local::{Package, PackageFile, Replaces, Signer},
    manifest::{CommandSpec, InstallSpec, Kind},
};
use banyan_trust::package::MAGIC;

/// The fake agent's answer to any package file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PackageScene {
    /// Not installed here yet, and may be installed.
    #[default]
    New,
    /// A newer version of an installed package.
    Newer,
    /// An older version of an installed package.
    Older,
    /// Correctly signed, but by a publisher that this machine does not trust.
    Untrusted,
    /// Correctly signed by a publisher that the user may choose to trust: the machine is not enrolled with a server.
    Asks,
    /// Changed after signing, or not signed.
    Altered,
    /// Withdrawn by the publishers.
    Withdrawn,
    /// Below the minimum sequence that the publishers accept.
    BelowFloor,
    /// Contains no file for this machine's platform.
    OtherPlatform,
    /// The user may inspect the package but not install it.
    NotAllowed,
}

impl PackageScene {
    /// All package scenes.
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
    /// Returns the agent's answer to a package file.
    ///
    /// # Errors
    /// In scenes where nothing in the file can be trusted, so that the real agent returns only the reason.
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
                let detail = "this computer does not trust this publisher; get the package from your administrator";
                package.refused = Some(refused(Reason::MetadataForged, detail));
            }
            Self::Asks => {
                let signer = package.signer;
                package.signer =
                    Signer { root: Digest([0x5e; 32]), keys: vec![key(0x77)], trusted: false, asks: true, ..signer };
            }
            Self::Altered => {
                let detail = "the targets metadata cannot be trusted: too few valid signatures";
                return Err(refused(Reason::MetadataForged, detail));
            }
            Self::Withdrawn => {
                let detail = "the publishers have withdrawn drawing/31.json (release list version 12)";
                package.refused = Some(refused(Reason::Withdrawn, detail));
            }
            Self::BelowFloor => {
                let detail = "drawing has sequence 31; 32 or higher is required";
                package.refused = Some(refused(Reason::BelowFloor, detail));
            }
            Self::OtherPlatform => {
                package.file = None;
                package.refused = Some(refused(Reason::WrongPlatform, "drawing 3.1 has no file for linux-x86_64"));
            }
            Self::NotAllowed => {
                let detail =
                    "you do not have permission to install packages yourself; ask an administrator of this computer";
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
        probe: Some(command("{dir}/bin/drawing --version")),
        needs_bytes: 210_000_000,
        ..InstallSpec::new(Kind::Archive)
    };
    let name = "drawing-3.1-linux.tar.zst".to_owned();
    Package {
        package: "drawing".into(),
        version: "3.1".into(),
        sequence: 31,
        publisher: "Lakeside School IT".into(),
        notes: "Opens drawings in the new format.\nKeeps colours when you save.".into(),
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

/// Returns a file of `bytes` bytes that begins like a package file. A real agent would reject its contents.
#[must_use]
pub fn package_file(bytes: usize) -> Vec<u8> {
    let mut file = [MAGIC.as_slice(), &2_u32.to_be_bytes(), b"{}"].concat();
    file.resize(bytes.max(file.len()), 0);
    file
}

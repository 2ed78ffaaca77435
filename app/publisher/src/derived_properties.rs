//! Derives properties of a bare file: a deb has them in its control file, an archive in its name.

use crate::PublisherError;
use banyan_proto::manifest::Kind;
use std::{path::Path, process::Command};

/// The extensions of archives, the longer ones first.
const ARCHIVES: [&str; 5] = [".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip"];
/// The platforms recognised at the end of an archive's name.
const PLATFORMS: [&str; 3] = ["linux-x86_64", "linux-aarch64", "windows-x86_64"];

/// The derived properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DerivedProperties {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) platform: Option<String>,
}

/// Returns the kind of file, by its extension.
pub(crate) fn kind_from_extension(path: &Path) -> Option<Kind> {
    let name = file_name(path).to_lowercase();
    if name.ends_with(".deb") {
        Some(Kind::Deb)
    } else if ARCHIVES.iter().any(|ending| name.ends_with(ending)) {
        Some(Kind::Archive)
    } else {
        None
    }
}

/// Parses `NAME-VERSION[-PLATFORM].EXTENSION`. The version begins at the first digit after a hyphen or underscore.
pub(crate) fn from_archive_name(path: &Path) -> DerivedProperties {
    let whole = file_name(path);
    let lower = whole.to_lowercase();
    let Some(ending) = ARCHIVES.iter().find(|ending| lower.ends_with(*ending)) else {
        return DerivedProperties::default();
    };
    let mut stem = &whole[..whole.len() - ending.len()];
    let platform = PLATFORMS.iter().find(|platform| stem.ends_with(&format!("-{platform}")));
    if let Some(platform) = platform {
        stem = &stem[..stem.len() - platform.len() - 1];
    }
    let platform = Some(platform.map_or("any", |platform| platform).to_owned());
    let begins_version = |rest: &str| rest.strip_prefix('v').unwrap_or(rest).starts_with(|c: char| c.is_ascii_digit());
    let split = stem.char_indices().find(|(at, c)| matches!(c, '-' | '_') && begins_version(&stem[at + 1..]));
    match split {
        Some((at, _)) if at > 0 => {
            let version = &stem[at + 1..];
            let version = version.strip_prefix('v').unwrap_or(version).to_owned();
            DerivedProperties { name: Some(stem[..at].to_lowercase()), version: Some(version), platform }
        }
        _ => DerivedProperties { platform, ..DerivedProperties::default() },
    }
}

/// Reads the package's control file with `dpkg-deb`. Returns no properties if `dpkg-deb` is not installed.
pub(crate) fn from_deb_control(path: &Path) -> Result<DerivedProperties, PublisherError> {
    // An absolute path cannot be mistaken for an option.
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let output = match Command::new("dpkg-deb")
        .arg("--field")
        .arg(&full)
        .args(["Package", "Version", "Architecture"])
        .output()
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(DerivedProperties::default()),
        Err(error) => return Err(PublisherError::InvalidDeb { file: path.to_owned(), why: error.to_string() }),
        Ok(output) => output,
    };
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(PublisherError::InvalidDeb { file: path.to_owned(), why });
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    let platform = field("Architecture").map(|architecture| match architecture.as_str() {
        "all" => "any".to_owned(),
        "amd64" => "linux-x86_64".to_owned(),
        "arm64" => "linux-aarch64".to_owned(),
        other => format!("linux-{other}"),
    });
    Ok(DerivedProperties { name: field("Package"), version: field("Version"), platform })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

//! Derives properties of a bare file: its kind, and what a deb has in its control file.

use crate::{PublisherError, file_name};
use banyan_archive::reader::is_archive_content;
use banyan_proto::manifest::Kind;
use std::{fs::File, io::Read as _, path::Path, process::Command};

/// The derived properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DerivedProperties {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) platform: Option<String>,
}

/// Returns the kind of file, by its extension or else by its first bytes.
pub(crate) fn kind_of_file(path: &Path) -> Option<Kind> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.ends_with(".deb") {
        return Some(Kind::Deb);
    }
    let mut head = vec![];
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    if file_name::without_extension(&name).is_some() || (read.is_ok() && is_archive_content(&head)) {
        Some(Kind::Archive)
    } else {
        None
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

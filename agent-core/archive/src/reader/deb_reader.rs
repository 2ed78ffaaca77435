//! Reads Debian packages as dpkg does: an ar archive of `debian-binary`, `control.tar` and `data.tar` (deb(5)).

use super::{
    compression::Compression,
    deb_control::ControlFile,
    tar_reader::{self, DpkgEntry, Unpacker},
};
use crate::{
    budget::{MAX_UNPACKED_BYTES, SizeBudget},
    refusal::{ArchiveError, ArchiveRefusal, damaged},
};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

const MAGIC: &[u8; 8] = b"!<arch>\n";
/// The length of the header of a member (bytes).
const HEADER_BYTES: usize = 60;
/// Longest control file that is read (bytes).
const MAX_CONTROL_BYTES: u64 = 1 << 20;
/// The scripts that dpkg starts.
const SCRIPTS: [&str; 4] = ["preinst", "postinst", "prerm", "postrm"];
/// Longest first line of a script (bytes).
const MAX_FIRST_LINE_BYTES: u64 = 4096;
/// Most files that machines accept in a deb.
const MAX_FILES: usize = 1_000_000;

/// What a Debian package says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebDescription {
    /// `Package:`.
    pub package: String,
    /// `Version:`.
    pub version: String,
    /// `Architecture:`.
    pub architecture: String,
    /// Whether a member is compressed with zstd, which Debian reads from version 12 on.
    pub uses_zstd: bool,
    /// The first folder that has files but no entry of its own. dpkg does not create it.
    pub missing_folder: Option<String>,
}

/// A member of the ar archive.
struct Member {
    name: String,
    size: u64,
}

/// Reads a Debian package from end to end, and refuses what dpkg would refuse.
///
/// # Errors
/// Says what dpkg could not read.
pub fn read_deb(path: &Path) -> Result<DebDescription, ArchiveError> {
    let reading = |source| ArchiveError::Io { context: format!("reading {}", path.display()), source };
    let mut file = File::open(path).map_err(reading)?;
    let length = file.metadata().map_err(reading)?.len();
    let mut magic = Vec::new();
    file.by_ref().take(8).read_to_end(&mut magic).map_err(reading)?;
    if magic != MAGIC {
        return Err(unsupported("it is not a Debian package: it does not begin like one"));
    }
    let mut found = DebDescription::default();
    let mut control: Option<ControlFile> = None;
    let mut has_data = false;
    let mut is_first = true;
    while let Some(member) = next_member(&mut file)? {
        let start = file.stream_position().map_err(reading)?;
        if start.saturating_add(member.size) > length {
            return Err(ArchiveRefusal::Damaged(format!("it ends in the middle of {}", member.name)).into());
        }
        let content = || Ok::<_, ArchiveError>(BufReader::new(file.try_clone().map_err(reading)?.take(member.size)));
        match member.name.as_str() {
            "debian-binary" if is_first => check_version(content()?)?,
            name if is_first => return Err(unsupported(&format!("it is an ar archive that begins with {name:?}"))),
            // Others may add members whose names begin like this.
            name if name.starts_with('_') => {}
            name if control.is_none() => {
                let compression = compression_of(name, "control.tar")?;
                found.uses_zstd |= compression == Some(Compression::Zstd);
                control = Some(read_control(content()?, compression)?);
            }
            name => {
                let compression = compression_of(name, "data.tar")?;
                found.uses_zstd |= compression == Some(Compression::Zstd);
                found.missing_folder = read_data(content()?, compression)?;
                has_data = true;
            }
        }
        if has_data {
            break;
        }
        is_first = false;
        let next = start + member.size + member.size % 2;
        file.seek(SeekFrom::Start(next)).map_err(reading)?;
    }
    let Some(control) = control.filter(|_| has_data) else {
        return Err(ArchiveRefusal::Damaged("it ends before its data.tar".into()).into());
    };
    let field = |name| control.field(name).unwrap_or_default().to_owned();
    found.package = field("package");
    found.version = field("version");
    found.architecture = field("architecture");
    Ok(found)
}

fn unsupported(text: &str) -> ArchiveError {
    ArchiveRefusal::Unsupported(text.to_owned()).into()
}

/// Reads the header of the next member; `None` at the end of the file.
fn next_member(file: &mut File) -> Result<Option<Member>, ArchiveError> {
    let mut header = Vec::new();
    file.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(damaged)?;
    if header.is_empty() {
        return Ok(None);
    }
    if header.len() < HEADER_BYTES || !header.ends_with(b"`\n") {
        return Err(ArchiveRefusal::Damaged("the header of a member cannot be read".into()).into());
    }
    let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim().to_owned();
    let size = text(48..58).parse::<u64>();
    let size = size.map_err(|_| ArchiveRefusal::Damaged("the size of a member cannot be read".into()))?;
    Ok(Some(Member { name: text(0..16).trim_end_matches('/').to_owned(), size }))
}

fn check_version(mut content: impl Read) -> Result<(), ArchiveError> {
    let mut text = String::new();
    content.read_to_string(&mut text).map_err(damaged)?;
    match text.split(['.', '\n']).next() {
        Some("2") => Ok(()),
        _ => Err(unsupported(&format!("it is a Debian package of the unknown version {:?}", text.trim()))),
    }
}

/// Returns how a member is compressed; `None` for LZMA, which dpkg reads but this program does not.
fn compression_of(name: &str, wanted: &str) -> Result<Option<Compression>, ArchiveError> {
    let unknown = || unsupported(&format!("dpkg does not know its member {name:?}; build it again with dpkg-deb"));
    match name.strip_prefix(wanted).ok_or_else(unknown)? {
        "" => Ok(Some(Compression::None)),
        ".gz" => Ok(Some(Compression::Gzip)),
        ".xz" => Ok(Some(Compression::Xz)),
        ".zst" => Ok(Some(Compression::Zstd)),
        ".bz2" if wanted == "data.tar" => Ok(Some(Compression::Bzip2)),
        ".lzma" if wanted == "data.tar" => Ok(None),
        _ => Err(unknown()),
    }
}

/// Reads the control file and the beginnings of the scripts, and the rest of their archive.
fn read_control<R: Read + 'static>(
    content: BufReader<R>,
    compression: Option<Compression>,
) -> Result<ControlFile, ArchiveError> {
    let (mut control, mut unusable_script) = (None, None);
    read_tar(content, compression, Unpacker::Tar, &mut |entry, content| {
        match entry.name.trim_start_matches("./") {
            "control" => {
                let mut text = Vec::new();
                content.take(MAX_CONTROL_BYTES).read_to_end(&mut text)?;
                control = Some(String::from_utf8_lossy(&text).into_owned());
            }
            name if SCRIPTS.contains(&name) => {
                let mut head = Vec::new();
                content.take(MAX_FIRST_LINE_BYTES).read_to_end(&mut head)?;
                if has_windows_line(&head) {
                    unusable_script.get_or_insert_with(|| name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if let Some(name) = unusable_script {
        let text = format!(
            "the first line of its script {name} ends as on Windows (CR LF), so dpkg could not start it; save it with LF"
        );
        return Err(unsupported(&text));
    }
    let control = control.ok_or_else(|| unsupported("it has no control file"))?;
    let refused =
        |why| unsupported(&format!("dpkg would refuse its control file: {why}; correct it, and build it again"));
    ControlFile::parse(&control).map_err(refused)
}

/// Whether the interpreter's name would end with a carriage return. dpkg starts a script without an interpreter with the
/// shell.
fn has_windows_line(head: &[u8]) -> bool {
    head.starts_with(b"#!") && head.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"))
}

/// Reads all files. Returns the first folder that has none of its own entries.
fn read_data<R: Read + 'static>(
    content: BufReader<R>,
    compression: Option<Compression>,
) -> Result<Option<String>, ArchiveError> {
    let (mut count, mut names, mut missing) = (0_usize, BTreeSet::new(), None);
    read_tar(content, compression, Unpacker::Dpkg, &mut |entry, content| {
        count += 1;
        if count > MAX_FILES {
            return Err(io::Error::other("it has too many files"));
        }
        let name = entry.name.trim_start_matches("./").trim_matches('/').to_owned();
        if let Some((folder, _)) = name.rsplit_once('/')
            && !names.contains(folder)
            && !is_on_every_machine(folder)
        {
            missing.get_or_insert_with(|| folder.to_owned());
        }
        if entry.is_folder {
            names.insert(name);
        }
        io::copy(content, &mut io::sink()).map(drop)
    })?;
    Ok(missing)
}

/// Whether a folder is on every machine with dpkg. Links to folders count as the folder.
fn is_on_every_machine(folder: &str) -> bool {
    const FOLDERS: [&str; 24] = [
        "bin",
        "boot",
        "etc",
        "etc/cron.d",
        "etc/default",
        "lib",
        "lib/systemd/system",
        "opt",
        "sbin",
        "srv",
        "usr",
        "usr/bin",
        "usr/lib",
        "usr/lib/systemd/system",
        "usr/local",
        "usr/local/bin",
        "usr/sbin",
        "usr/share",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/man/man1",
        "var",
        "var/lib",
        "var/log",
    ];
    FOLDERS.contains(&folder)
}

fn read_tar<R: Read + 'static>(
    content: BufReader<R>,
    compression: Option<Compression>,
    unpacker: Unpacker,
    visit: &mut dyn FnMut(&DpkgEntry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), ArchiveError> {
    let Some(compression) = compression else { return Ok(()) };
    let budget = SizeBudget::new(MAX_UNPACKED_BYTES);
    let stream = compression.decompress(content).map_err(damaged)?;
    Ok(tar_reader::read_dpkg_entries(&mut budget.count(stream), compression.name(), unpacker, visit)?)
}

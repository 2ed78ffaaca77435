//! Says what a file is that is no archive of a supported format, and what to publish instead.

use crate::refusal::ArchiveRefusal;

/// What to do with a file of another format.
#[derive(Clone, Copy)]
enum Cure {
    /// An archive, compressed in another way.
    CompressAnew,
    /// Another kind of archive or package.
    PackAnew,
    /// A single file.
    PackIt,
    /// A file that is the wrong one.
    TakeAnother,
}

impl Cure {
    fn text(self) -> &'static str {
        match self {
            Self::CompressAnew => "decompress it, and compress the tar archive in it with gzip, xz, bzip2 or zstd",
            Self::PackAnew => "unpack it, and pack its files with tar (plain, gzip, xz, bzip2 or zstd) or zip",
            Self::PackIt => "pack it into an archive (tar -czf NAME-VERSION.tar.gz FILE), and publish that",
            Self::TakeAnother => "use tar (plain, gzip, xz, bzip2 or zstd) or zip",
        }
    }
}

/// The formats by their first bytes.
const KNOWN: &[(&[u8], &str, Cure)] = &[
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", Cure::PackAnew),
    (b"Rar!", "a RAR archive", Cure::PackAnew),
    (b"LZIP", "compressed with lzip", Cure::CompressAnew),
    (b"\x04\x22\x4d\x18", "compressed with LZ4", Cure::CompressAnew),
    (b"\x02\x21\x4c\x18", "compressed with an old LZ4", Cure::CompressAnew),
    (b"\x1f\x9d", "compressed with compress", Cure::CompressAnew),
    (b"\x5d\0\0", LZMA, Cure::CompressAnew),
    (b"\x89LZO", "compressed with lzop", Cure::CompressAnew),
    (b"MSCF", "a cabinet file", Cure::PackAnew),
    (b"!<arch>\ndebian", "a Debian package (pass --kind deb)", Cure::TakeAnother),
    (b"!<arch>", "an ar archive", Cure::PackAnew),
    (b"\xed\xab\xee\xdb", "an RPM package", Cure::PackAnew),
    (b"0707", CPIO, Cure::PackAnew),
    (b"\xc7\x71", CPIO, Cure::PackAnew),
    (b"\x71\xc7", CPIO, Cure::PackAnew),
    (b"\xd0\xcf\x11\xe0", "a Windows installer or an Office file", Cure::PackAnew),
    (b"MZ", "a program for Windows", Cure::PackIt),
    (b"\x7fELF", "a program", Cure::PackIt),
    (b"#!", "a script", Cure::PackIt),
    (b"version https://git-lfs", "a Git LFS pointer without its content", Cure::TakeAnother),
    (b"xar!", "a macOS package", Cure::PackAnew),
    (b"hsqs", "a SquashFS image", Cure::PackAnew),
];
const LZMA: &str = "compressed with LZMA, an older format than xz";
const CPIO: &str = "a cpio archive";

/// Returns the refusal of a file that is no archive, by its first bytes and its name.
pub(super) fn refuse(head: &[u8], name: &str) -> ArchiveRefusal {
    let text = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    let is_page = text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml");
    let name = name.to_ascii_lowercase();
    let has_ending = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let (what, cure) = match KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        // An AppImage is a program with a mark of its own after the first bytes.
        Some((b"\x7fELF", ..)) if head.get(8..10) == Some(b"AI") => ("an AppImage", Cure::PackIt),
        Some((_, what, cure)) => (*what, *cure),
        None if is_page => ("a web page", Cure::TakeAnother),
        None if head.iter().all(|byte| *byte == 0) => ("full of zeros", Cure::TakeAnother),
        None if is_text(head) => ("a text", Cure::TakeAnother),
        // The format has no mark, and its parameters can differ from the usual ones.
        None if has_ending(&[".lzma", ".tlz"]) => (LZMA, Cure::CompressAnew),
        None => return ArchiveRefusal::UnknownFormat,
    };
    let cure = cure.text();
    ArchiveRefusal::Unsupported(format!("it is {what}, not an archive that machines can unpack; {cure}"))
}

/// Whether these bytes are text. The last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let whole = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    whole.len() + 4 > head.len() && !whole.chars().any(|c| c.is_control() && !c.is_whitespace())
}

/// Whether a file has the name of one part of a split archive: `tool.z01`, or `tool.zip.001`.
pub(super) fn is_part_name(name: &str) -> bool {
    const SPLIT: [&str; 10] = [".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".xz", ".bz2", ".zst", ".exe"];
    let name = name.to_ascii_lowercase();
    let Some((start, ending)) = name.rsplit_once('.') else { return false };
    let is_number = |text: &str| text.len() >= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    match ending.strip_prefix('z') {
        Some(number) => is_number(number),
        None => ending.len() == 3 && is_number(ending) && SPLIT.iter().any(|known| start.ends_with(known)),
    }
}

/// Returns the refusal of one part of a split archive.
pub(super) fn refuse_part() -> ArchiveRefusal {
    let text = "it is one part of a split archive; join the parts (zip -s 0 SPLIT.zip --out WHOLE.zip, or cat PART.001 \
                PART.002 > WHOLE), and publish the whole one";
    ArchiveRefusal::Unsupported(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_named_with_what_to_publish_instead() {
        let mut appimage = b"\x7fELF\x02\x01\x01\0AI\x02".to_vec();
        appimage.resize(512, 1);
        let lzma = [[0x5e, 0, 0, 0x80, 0].as_slice(), &[0xff; 8], &[7; 200]].concat();
        for (head, name, says) in [
            (b"\x5d\0\0\x80\0\xff\xff".as_slice(), "a-1.tar.lzma", ["LZMA", "decompress it"]),
            (&lzma, "a-1.tar.lzma", ["LZMA", "decompress it"]),
            (b"\x04\x22\x4d\x18\x64\x40", "a-1.tar.lz4", ["LZ4", "decompress it"]),
            (b"070701000", "a-1.cpio", ["a cpio archive", "pack its files"]),
            (b"\xc7\x71\0\0", "a-1.cpio", ["a cpio archive", "pack its files"]),
            (&appimage, "a-1.AppImage", ["an AppImage", "tar -czf"]),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0", "a", ["a program", "tar -czf"]),
        ] {
            let ArchiveRefusal::Unsupported(text) = refuse(head, name) else { panic!("{name} is unknown") };
            assert!(says.iter().all(|part| text.contains(part)), "{name}: {text}");
        }
        assert_eq!(refuse(&lzma, "a-1.bin"), ArchiveRefusal::UnknownFormat);
    }

    #[test]
    fn parts_of_split_archives_are_known_by_their_names() {
        for part in ["a.z01", "a.Z12", "a.z100", "a-1.zip.001", "a-1.tar.gz.002", "a.7z.010"] {
            assert!(is_part_name(part), "{part}");
        }
        for whole in ["a.zip", "a.z", "a.z1", "a-1.0.001", "a.zst", "a.tar.gz", "z01", "a.zip.1"] {
            assert!(!is_part_name(whole), "{whole}");
        }
    }
}

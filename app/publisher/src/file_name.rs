//! Reads name, version and platform from the name of an archive, as programs are usually published.

use banyan_archive::reader::ARCHIVE_EXTENSIONS;

/// What a file name says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NameParts {
    /// The package name, in lower case.
    pub(crate) name: Option<String>,
    /// The version.
    pub(crate) version: Option<String>,
    /// The system: `linux`, `windows`, `macos`, …
    pub(crate) system: Option<&'static str>,
    /// The processor: `x86_64`, `aarch64`, …
    pub(crate) processor: Option<&'static str>,
    /// Whether the name says that it runs anywhere.
    pub(crate) is_any: bool,
}

/// Words that name a system, and their processor if they name one.
const SYSTEMS: &[(&str, &str, Option<&str>)] = &[
    ("linux", "linux", None),
    ("linux32", "linux", Some("x86")),
    ("linux64", "linux", Some("x86_64")),
    ("manylinux1", "linux", None),
    ("manylinux2010", "linux", None),
    ("manylinux2014", "linux", None),
    ("manylinux", "linux", None),
    ("musllinux", "linux", None),
    ("windows", "windows", None),
    ("win", "windows", None),
    ("win32", "windows", Some("x86")),
    ("win64", "windows", Some("x86_64")),
    ("mingw32", "windows", None),
    ("mingw64", "windows", Some("x86_64")),
    ("darwin", "macos", None),
    ("macos", "macos", None),
    ("macosx", "macos", None),
    ("osx", "macos", None),
    ("mac", "macos", None),
    ("freebsd", "freebsd", None),
    ("netbsd", "netbsd", None),
    ("openbsd", "openbsd", None),
];

/// Words that name a processor.
const PROCESSORS: &[(&str, &str)] = &[
    ("x86_64", "x86_64"),
    ("amd64", "x86_64"),
    ("x64", "x86_64"),
    ("64bit", "x86_64"),
    ("aarch64", "aarch64"),
    ("arm64", "aarch64"),
    ("armv8", "aarch64"),
    ("i386", "x86"),
    ("i486", "x86"),
    ("i586", "x86"),
    ("i686", "x86"),
    ("386", "x86"),
    ("x86", "x86"),
    ("ia32", "x86"),
    ("32bit", "x86"),
    ("arm", "arm"),
    ("armv6", "arm"),
    ("armv7", "arm"),
    ("armv7l", "arm"),
    ("armhf", "arm"),
    ("riscv64", "riscv64"),
    ("riscv64gc", "riscv64"),
    ("ppc64le", "powerpc64"),
    ("ppc64el", "powerpc64"),
    ("powerpc64le", "powerpc64"),
    ("s390x", "s390x"),
    ("loong64", "loongarch64"),
    ("loongarch64", "loongarch64"),
];

/// Words beside them that say nothing about the platform.
const FILLERS: &[&str] =
    &["gnu", "musl", "msvc", "unknown", "pc", "apple", "gnueabihf", "musleabihf", "gnueabi", "static", "glibc"];
/// Words that say that it runs anywhere.
const ANY: &[&str] = &["any", "noarch", "all"];

/// Returns the file name without the extension of an archive.
pub(crate) fn without_extension(file_name: &str) -> Option<&str> {
    let lower = file_name.to_ascii_lowercase();
    let ending = ARCHIVE_EXTENSIONS.iter().find(|ending| lower.ends_with(*ending))?;
    Some(&file_name[..file_name.len() - ending.len()])
}

/// Returns the platform of a platform's other name, such as `linux-amd64` or `win64`.
pub(crate) fn usual_platform(text: &str) -> Option<String> {
    let parts = parse(&format!("x-1-{text}.tar"));
    Some(format!("{}-{}", parts.system?, parts.processor?))
}

/// Returns whether machines can have this platform: a known system and any processor, such as `linux-riscv64`, or
/// `any`.
pub(crate) fn is_platform(text: &str) -> bool {
    let is_processor = |word: &str| {
        !word.is_empty()
            && !ANY.contains(&word)
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let is_system = |word: &str| SYSTEMS.iter().any(|(_, system, _)| *system == word);
    text == "any"
        || text.split_once('-').is_some_and(|(system, processor)| is_system(system) && is_processor(processor))
}

/// Parses `NAME-VERSION[-PLATFORM].EXTENSION`, `NAME-PLATFORM-VERSION.EXTENSION` and the like. The version begins at
/// the first digit after a hyphen or underscore.
pub(crate) fn parse(file_name: &str) -> NameParts {
    let Some(stem) = without_extension(file_name) else { return NameParts::default() };
    if file_name.to_ascii_lowercase().ends_with(".whl") {
        return parse_wheel(stem);
    }
    let mut parts = NameParts::default();
    let words = words(stem);
    let begins_version = |word: &str| {
        let word = word.strip_prefix(['v', 'V']).unwrap_or(word);
        word.starts_with(|c: char| c.is_ascii_digit())
    };
    // The first word is always part of the name.
    let version = words
        .iter()
        .skip(1)
        .find(|word| matches!(word.before, '-' | '_') && begins_version(word.text) && !is_platform_word(word.text));
    for word in words.iter().skip(1) {
        parts.note(word.text);
    }
    let has_platform = parts.is_any || (parts.system.is_some() && parts.processor.is_some());
    let Some(version) = version else { return parts };
    let name_end = version.start - 1;
    let platform_in_name = words.iter().skip(1).find(|word| has_platform && is_platform_word(word.text));
    let name_end = platform_in_name.map_or(name_end, |word| name_end.min(word.start - 1));
    parts.name = package_name(&stem[..name_end]);
    // What follows the version and names the platform does not belong to it.
    let after = words.iter().find(|word| word.start > version.start && is_platform_word(word.text));
    let text = &stem[version.start..after.map_or(stem.len(), |word| word.start - 1)];
    parts.version = Some(text.strip_prefix(['v', 'V']).unwrap_or(text).to_owned());
    parts
}

/// Parses `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM` (the name of a Python wheel).
fn parse_wheel(stem: &str) -> NameParts {
    let fields: Vec<&str> = stem.split('-').collect();
    let (Some(name), Some(version), Some(tags)) = (fields.first(), fields.get(1), fields.last()) else {
        return NameParts::default();
    };
    let mut parts =
        NameParts { name: package_name(name), version: Some((*version).to_owned()), ..NameParts::default() };
    words(tags).iter().for_each(|word| parts.note(word.text));
    parts
}

/// Returns the name of a package that this text stands for: `more_itertools` is `more-itertools`.
fn package_name(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '.');
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split(|c: char| c.is_ascii() && !is_part(c)).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("-"))
}

impl NameParts {
    fn note(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        if let Some((_, system, processor)) = SYSTEMS.iter().find(|(known, ..)| *known == word) {
            self.system.get_or_insert(system);
            // `win32-x64` means Windows with another processor.
            if self.processor.is_none() {
                self.processor = *processor;
            }
        } else if let Some((_, processor)) = PROCESSORS.iter().find(|(known, _)| *known == word) {
            self.processor = Some(processor);
        }
        self.is_any |= ANY.contains(&word.as_str());
    }
}

fn is_platform_word(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    SYSTEMS.iter().any(|(known, ..)| *known == word)
        || PROCESSORS.iter().any(|(known, _)| *known == word)
        || FILLERS.contains(&word.as_str())
        || ANY.contains(&word.as_str())
}

struct Word<'a> {
    text: &'a str,
    /// Where it begins.
    start: usize,
    /// The separator before it.
    before: char,
}

/// Splits at `-`, `_`, `.` and `+`. `x86_64` is one word.
fn words(stem: &str) -> Vec<Word<'_>> {
    const X86_64: [&str; 2] = ["x86_64", "x86-64"];
    let mut found = vec![];
    let (mut start, mut before) = (0, ' ');
    let mut at = 0;
    while at < stem.len() {
        let rest = &stem[at..];
        let is_whole =
            at == start && rest.get(..6).is_some_and(|six| X86_64.contains(&six.to_ascii_lowercase().as_str()));
        if is_whole {
            at += 6;
            continue;
        }
        let c = rest.chars().next().unwrap_or(' ');
        if matches!(c, '-' | '_' | '.' | '+') {
            found.push(Word { text: &stem[start..at], start, before });
            (start, before) = (at + 1, c);
        }
        at += c.len_utf8();
    }
    found.push(Word { text: &stem[start..], start, before });
    found.retain(|word| !word.text.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, name: &str, version: &str, platform: &str) {
        let parts = parse(file);
        let found = match (parts.system, parts.processor) {
            (Some(system), Some(processor)) => format!("{system}-{processor}"),
            (system, processor) => format!("{}{}", system.unwrap_or_default(), processor.unwrap_or_default()),
        };
        let found = if parts.is_any { "any".to_owned() } else { found };
        assert_eq!(
            (parts.name.as_deref(), parts.version.as_deref(), found.as_str()),
            (Some(name), Some(version), platform),
            "{file}"
        );
    }

    #[test]
    fn names_of_real_releases() {
        check("tool-1.4.tar.gz", "tool", "1.4", "");
        check("Tool_v2.0.zip", "tool", "2.0", "");
        check("more_itertools-11.2.1.tar.gz", "more-itertools", "11.2.1", "");
        check("My Tool (new)-3.1.zip", "my-tool-new", "3.1", "");
        check("tool-1.4-linux-x86_64.tar.gz", "tool", "1.4", "linux-x86_64");
        check("ripgrep-14.1.0-x86_64-unknown-linux-musl.tar.gz", "ripgrep", "14.1.0", "linux-x86_64");
        check("gh_2.40.0_linux_amd64.tar.gz", "gh", "2.40.0", "linux-x86_64");
        check("node-v20.1.0-linux-arm64.tar.xz", "node", "20.1.0", "linux-aarch64");
        check("node-v20.1.0-darwin-x64.tar.gz", "node", "20.1.0", "macos-x86_64");
        check("tool-1.4-win64.zip", "tool", "1.4", "windows-x86_64");
        check("tool-1.4-win32.zip", "tool", "1.4", "windows-x86");
        check("tool-1.4-win32-x64.zip", "tool", "1.4", "windows-x86_64");
        check("tool-linux-amd64-1.4.tgz", "tool", "1.4", "linux-x86_64");
        check("terraform_1.5.0_windows_386.zip", "terraform", "1.5.0", "windows-x86");
        check("tool-1.4-rc.1-linux-aarch64.tar.zst", "tool", "1.4-rc.1", "linux-aarch64");
        check("tool-1.4-noarch.tar.gz", "tool", "1.4", "any");
        check("tool-1.4-linux.zip", "tool", "1.4", "linux");
        check("linux-tools-6.1.tar.xz", "linux-tools", "6.1", "");
        check("arm-none-eabi-gcc-13.2.tar.xz", "arm-none-eabi-gcc", "13.2", "");
        check("requests-2.31.0-py3-none-any.whl", "requests", "2.31.0", "any");
        check("typing_extensions-4.9.0-py3-none-any.whl", "typing-extensions", "4.9.0", "any");
        let wheel = "numpy-1.26.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        check(wheel, "numpy", "1.26.2", "linux-x86_64");
        check("numpy-1.26.2-cp311-cp311-win_amd64.whl", "numpy", "1.26.2", "windows-x86_64");
        check("numpy-1.26.2-cp311-cp311-macosx_11_0_arm64.whl", "numpy", "1.26.2", "macos-aarch64");
    }

    #[test]
    fn names_without_a_version_and_other_names_of_platforms() {
        assert_eq!(parse("tool.tar.gz").version, None);
        assert_eq!(parse("tool").name, None);
        assert_eq!(parse("é-1.tar").name.as_deref(), Some("é"));
        for (other, usual) in
            [("linux-amd64", "linux-x86_64"), ("win64", "windows-x86_64"), ("darwin-arm64", "macos-aarch64")]
        {
            assert_eq!(usual_platform(other).as_deref(), Some(usual));
        }
        assert_eq!(usual_platform("any"), None);
        assert_eq!(usual_platform("toaster"), None);
    }
}

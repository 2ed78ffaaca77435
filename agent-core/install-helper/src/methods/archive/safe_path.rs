//! Validates names inside archives. Only this module makes a [`SafePath`], and only from a name that stays inside the
//! folder.

use crate::error::archive_refusal::ArchiveRefusal;

/// Maximum length of one file or folder name (bytes); the limit of most file systems.
const MAX_NAME_BYTES: usize = 255;
/// Maximum length of a path (bytes).
const MAX_PATH_BYTES: usize = 4096;
/// Maximum depth of a path (names).
const MAX_DEPTH: usize = 64;

/// How strictly names are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameRules {
    /// Whether the tree must also work on Windows: no reserved names, no `:`, no two names that differ only in case.
    pub(super) portable: bool,
    /// Whether this system can create links.
    pub(super) links: bool,
}

impl NameRules {
    /// Returns the rules for an artifact of this platform, unpacked on this machine. Trees for Linux only may contain
    /// names such as `aux.c` and `Foo::Bar.3pm`, which occur in real packages.
    pub(super) fn for_platform(platform: &str) -> Self {
        let portable = cfg!(windows) || !platform.starts_with("linux");
        Self { portable, links: crate::sys::SUPPORTS_LINKS }
    }
}

/// A path below the target folder: relative, `/` between names, no `.`, no `..`. Empty for the target folder itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SafePath(String);

impl SafePath {
    /// Parses a raw name.
    ///
    /// # Errors
    /// When the name is absolute, contains `..`, or breaks the rules.
    pub(super) fn parse(raw: &[u8], rules: NameRules) -> Result<Self, ArchiveRefusal> {
        let text = check_text(raw)?;
        if text.starts_with('/') {
            return Err(ArchiveRefusal::Absolute(text.into()));
        }
        let mut names = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                return Err(ArchiveRefusal::ParentFolder(text.into()));
            }
            check_name(text, name, rules)?;
            names.push(name);
        }
        if names.len() > MAX_DEPTH {
            return Err(ArchiveRefusal::Name { path: text.into(), why: "it is nested too deeply" });
        }
        Ok(Self(names.join("/")))
    }
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether this is the target folder itself.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
    /// Returns all parent folders, outermost first, without the root.
    pub(super) fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
    fn depth(&self) -> usize {
        self.parents().count()
    }
}

/// Validates the target of a symbolic link at `at`: any number of `..` that stay inside the tree, then names only.
///
/// This form is safe without knowing the other links. The `..` start from the folder that contains the link, and that
/// folder is real because nothing is written through links. A path down through another link ends only where that link
/// may point. A `..` after a name is refused: it would start from wherever a link of that name leads.
pub(super) fn check_link_target(at: &SafePath, raw: &[u8], rules: NameRules) -> Result<String, ArchiveRefusal> {
    let target = check_text(raw)?;
    let leaves = || ArchiveRefusal::LinkEscapes { path: at.as_str().into(), target: target.into() };
    if target.is_empty() || target.starts_with('/') {
        return Err(leaves());
    }
    let (mut climbed, mut descended) = (0, false);
    for name in target.split('/').filter(|name| !name.is_empty() && *name != ".") {
        if name == ".." {
            climbed += 1;
            if descended || climbed > at.depth() {
                return Err(leaves());
            }
        } else {
            descended = true;
            check_name(target, name, rules)?;
        }
    }
    Ok(target.to_owned())
}

fn check_text(raw: &[u8]) -> Result<&str, ArchiveRefusal> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(200)]).into_owned();
    let text = std::str::from_utf8(raw).map_err(|_| ArchiveRefusal::Name { path: shown(), why: "it is not UTF-8" })?;
    let refuse = |why| Err(ArchiveRefusal::Name { path: shown(), why });
    if text.len() > MAX_PATH_BYTES {
        return refuse("it is too long");
    }
    if text.chars().any(char::is_control) {
        return refuse("it contains a NUL or another control character");
    }
    if text.contains('\\') {
        return refuse("it contains a backslash");
    }
    let bytes = text.as_bytes();
    if bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && !text[2..].starts_with(':') {
        return refuse("it begins with a drive letter");
    }
    Ok(text)
}

fn check_name(path: &str, name: &str, rules: NameRules) -> Result<(), ArchiveRefusal> {
    let refuse = |why| Err(ArchiveRefusal::Name { path: path.into(), why });
    if name.len() > MAX_NAME_BYTES {
        return refuse("one of its names is too long");
    }
    if !rules.portable {
        return Ok(());
    }
    if name.contains([':', '<', '>', '"', '|', '?', '*']) {
        return refuse("it contains a character that Windows does not allow");
    }
    if name.ends_with(['.', ' ']) {
        return refuse("Windows drops the dot or space at the end of a name");
    }
    if is_reserved(name) {
        return refuse("Windows reserves the name for a device");
    }
    Ok(())
}

/// Whether Windows reserves the name for a device in every folder, whatever its extension: `con`, `NUL.txt`, `Com1`, …
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut digits = rest.chars();
            matches!((digits.next(), digits.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

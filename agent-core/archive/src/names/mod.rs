//! Validates names inside archives. Only this module makes a [`SafePath`], and only from a name that stays inside the
//! folder.

#[cfg(test)]
mod tests;

use crate::refusal::ArchiveRefusal;

/// Maximum length of one file or folder name (bytes); the limit of most file systems.
const MAX_NAME_BYTES: usize = 255;
/// Maximum length of a path (bytes). Systems allow 4095, of which the folder of the package on a machine takes a part.
const MAX_PATH_BYTES: usize = 3072;
/// Maximum depth of a path (names).
const MAX_DEPTH: usize = 64;

/// How strictly names are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameRules {
    /// Whether the tree must also work where case is ignored: no two names that differ only in case.
    pub ignores_case: bool,
    /// Whether the tree must also work on Windows: no reserved names, no `:`, no backslash.
    pub windows_names: bool,
    /// Whether links can be unpacked.
    pub links: bool,
}

impl NameRules {
    /// The rules of a system such as Linux.
    pub const LINUX: Self = Self { ignores_case: false, windows_names: false, links: true };
    /// The rules of Windows. It has no links: creating them needs a privilege that a personal install helper lacks.
    pub const WINDOWS: Self = Self { ignores_case: true, windows_names: true, links: false };
    /// The rules of macOS.
    const MACOS: Self = Self { ignores_case: true, windows_names: false, links: true };

    /// Returns the rules that a machine of this platform follows. `any` stands for the least strict machine: what a
    /// stricter one would refuse is only worth a warning.
    #[must_use]
    pub fn for_platform(platform: &str) -> Self {
        if platform.starts_with("windows") {
            Self::WINDOWS
        } else if platform.starts_with("macos") {
            Self::MACOS
        } else {
            Self::LINUX
        }
    }
    /// Returns the rules for an artifact of this platform on the machine that runs this program.
    #[must_use]
    pub fn on_this_machine(platform: &str) -> Self {
        Self::for_platform(if cfg!(windows) { "windows" } else { platform })
    }
    /// Returns these rules for a folder that ignores case, whatever the system usually does.
    #[must_use]
    pub fn ignoring_case_if(self, ignores_case: bool) -> Self {
        Self { ignores_case: self.ignores_case || ignores_case, ..self }
    }
}

/// A path below the target folder: relative, `/` between names, no `.`, no `..`. Empty for the target folder itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafePath(String);

impl SafePath {
    /// Parses a raw name.
    ///
    /// # Errors
    /// When the name is absolute, contains `..`, or breaks the rules.
    pub fn parse(raw: &[u8], rules: NameRules) -> Result<Self, ArchiveRefusal> {
        let text = check_text(raw, rules)?;
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
    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Returns the path for people: the target folder itself is `.`.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.is_root() { "." } else { &self.0 }
    }
    /// Whether this is the target folder itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
    /// Returns all parent folders, outermost first, without the root.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

/// Validates the text of a symbolic link's target. Whether it stays inside the tree is only known at the end:
/// [`crate::Tree::finish`].
pub(crate) fn check_link_target(at: &SafePath, raw: &[u8], rules: NameRules) -> Result<String, ArchiveRefusal> {
    let target = check_text(raw, rules)?;
    if target.is_empty() {
        return Err(ArchiveRefusal::LinkEmpty { path: at.shown().into() });
    }
    if target.starts_with('/') {
        return Err(ArchiveRefusal::LinkAbsolute { path: at.shown().into(), target: target.into() });
    }
    for name in target.split('/').filter(|name| !matches!(*name, "" | "." | "..")) {
        check_name(target, name, rules)?;
    }
    Ok(target.to_owned())
}

fn check_text(raw: &[u8], rules: NameRules) -> Result<&str, ArchiveRefusal> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(200)]).into_owned();
    let not_utf8 = "it is not UTF-8, so it would have another name on other machines";
    let text = std::str::from_utf8(raw).map_err(|_| ArchiveRefusal::Name { path: shown(), why: not_utf8 })?;
    let refuse = |why| Err(ArchiveRefusal::Name { path: shown(), why });
    if text.len() > MAX_PATH_BYTES {
        return refuse("it is too long");
    }
    if text.chars().any(char::is_control) {
        return refuse("it contains a NUL or another control character");
    }
    if rules.windows_names && text.contains('\\') {
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
    if !rules.windows_names {
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

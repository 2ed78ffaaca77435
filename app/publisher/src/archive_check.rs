//! Checks an archive with the machines' own reader and rules before anything is signed, and finds out for which
//! platforms the programs in it are.

use crate::{PublisherError, file_name::NameParts, private_files::disk_error, program_headers};
use banyan_archive::{
    ArchiveError, Contents, Finding, NameRules, budget,
    tree::{Node, Tree},
};
use banyan_proto::{format_size, manifest::CommandSpec};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// A program found in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Program {
    /// The platforms in its header; empty for scripts.
    platforms: Vec<String>,
    /// Whether its first line ends like a line of Windows, which other systems cannot start.
    has_windows_line: bool,
}

/// An archive that machines can unpack.
pub(crate) struct CheckedArchive {
    contents: Contents,
    programs: HashMap<String, Program>,
    /// The first program for each platform.
    natives: BTreeMap<String, String>,
    /// The size of the archive (bytes).
    size: u64,
}

impl CheckedArchive {
    /// Reads the whole archive. `stated` is how much it needs according to its publisher (bytes; 0 for not stated).
    pub(crate) fn read(path: &Path, stated: u64) -> Result<Self, PublisherError> {
        let size = std::fs::metadata(path).map_err(disk_error("read", path))?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What the publisher does not state is measured, and then stated.
        let limit = if stated == 0 { budget::MAX_UNPACKED_BYTES } else { budget::max_unpacked_bytes(size, stated) };
        let mut programs = HashMap::new();
        let mut natives = BTreeMap::new();
        let mut observe = |path: &str, head: &[u8]| {
            let platforms = program_headers::platforms(head);
            for platform in &platforms {
                natives.entry(platform.clone()).or_insert_with(|| path.to_owned());
            }
            let first_line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let has_windows_line = head.starts_with(b"#!") && first_line.ends_with(b"\r");
            if !platforms.is_empty() || has_windows_line {
                programs.insert(path.to_owned(), Program { platforms, has_windows_line });
            }
        };
        let elsewhere = [NameRules::for_platform("windows"), NameRules::for_platform("macos")];
        let contents = banyan_archive::inspect(path, &name, NameRules::LINUX, limit, &elsewhere, &mut observe)
            .map_err(|error| unusable(path, error))?;
        Ok(Self { contents, programs, natives, size })
    }

    /// Returns the platform of the archive. `stated` is what its publisher says, and `name` what the file's name says.
    pub(crate) fn platform(
        &self,
        path: &Path,
        stated: Option<&str>,
        name: &NameParts,
    ) -> Result<String, PublisherError> {
        let unclear = |why| PublisherError::UnclearPlatform { file: path.to_owned(), why };
        if let Some(platform) = stated {
            self.check_platform(path, "the given platform", platform)?;
            return Ok(platform.to_owned());
        }
        if let (Some(system), Some(processor)) = (name.system, name.processor) {
            let platform = format!("{system}-{processor}");
            self.check_platform(path, "its name", &platform)?;
            return Ok(platform);
        }
        if name.is_any {
            return Ok("any".into());
        }
        let fits = |platform: &str| {
            let (system, processor) = platform.split_once('-').unwrap_or((platform, ""));
            name.system.is_none_or(|known| known == system) && name.processor.is_none_or(|known| known == processor)
        };
        let said = name.system.or(name.processor);
        let fitting: Vec<&String> = self.natives.keys().filter(|platform| fits(platform)).collect();
        match (fitting.as_slice(), said) {
            ([platform], _) => Ok((*platform).clone()),
            ([], None) => Ok("any".into()),
            ([], Some(said)) => match self.natives.iter().next() {
                Some((found, entry)) => Err(PublisherError::PlatformContradiction {
                    file: path.to_owned(),
                    says: "its name",
                    platform: said.to_owned(),
                    entry: entry.clone(),
                    found: found.clone(),
                }),
                None => Err(unclear(format!("its name says only {said}, and no program in it says more"))),
            },
            (_, _) => Err(unclear(format!("it contains programs for {}", self.list_natives()))),
        }
    }

    /// Checks that a platform does not contradict the programs in the archive.
    pub(crate) fn check_platform(&self, path: &Path, says: &'static str, platform: &str) -> Result<(), PublisherError> {
        if platform == "any" || self.natives.is_empty() || self.natives.keys().any(|found| runs_on(found, platform)) {
            return Ok(());
        }
        let Some((found, entry)) = self.natives.iter().next() else { return Ok(()) };
        Err(PublisherError::PlatformContradiction {
            file: path.to_owned(),
            says,
            platform: platform.to_owned(),
            entry: entry.clone(),
            found: found.clone(),
        })
    }

    /// Checks the rules of the platform's system.
    pub(crate) fn check_rules(&self, path: &Path, platform: &str) -> Result<(), PublisherError> {
        let rules = NameRules::for_platform(platform);
        match self.contents.refused_elsewhere.iter().find(|(other, _)| *other == rules) {
            Some((_, refusal)) => Err(unusable(path, refusal.clone().into())),
            None => Ok(()),
        }
    }

    /// Checks that the probe's program is in the archive and can be started.
    pub(crate) fn check_probe(&self, path: &Path, platform: &str, probe: &CommandSpec) -> Result<(), PublisherError> {
        let Some(word) = probe.argv.first() else { return Ok(()) };
        let refuse_word = |program: &str, why: String| {
            let file = path.to_owned();
            Err(PublisherError::ProbeProgram { file, program: program.to_owned(), why })
        };
        if let Some((placeholder, _)) = word.split_once('/').filter(|(first, _)| is_unknown_placeholder(first)) {
            return refuse_word(word, format!("begins with {placeholder}; only {{dir}} is replaced"));
        }
        // A bare name is looked up in the system's folders only.
        if is_bare_name(word) && matches!(self.contents.tree.lookup(word), Some(Node::File { .. })) {
            return refuse_word(word, format!("is searched in the system's folders only; write {{dir}}/{word}"));
        }
        let Some(program) = path_in_archive(word) else { return Ok(()) };
        let refuse = |why: String| refuse_word(program, why);
        let is_windows = platform.starts_with("windows");
        let mut names = vec![program.to_owned()];
        if is_windows || platform == "any" {
            names.extend([".exe", ".cmd", ".bat"].map(|ending| format!("{program}{ending}")));
        }
        let tree = &self.contents.tree;
        let Some((name, node)) = names.iter().find_map(|name| Some((name, tree.lookup(name)?))) else {
            return refuse(format!("is not in the archive{}", suggestion(tree, program)));
        };
        match node {
            Node::Folder => return refuse("is a folder".into()),
            Node::File { executable: Some(false), .. } if !is_windows && name == program => {
                return refuse(
                    "is not executable there; set its x bit (chmod +x) before you make the archive, or start it with \
                     its interpreter"
                        .into(),
                );
            }
            Node::File { is_program: false, .. } if !is_windows && name == program => {
                return refuse(
                    "is neither a program nor a script that a system can start; a script must begin with #! and its \
                     interpreter, such as #!/bin/sh, without a byte order mark"
                        .into(),
                );
            }
            Node::File { .. } | Node::Link { .. } => {}
        }
        match self.programs.get(name) {
            Some(found) if found.has_windows_line && !is_windows => refuse(
                "is a script whose first line ends as on Windows (CR LF), so it cannot be started; save it with LF"
                    .into(),
            ),
            Some(Program { platforms, .. })
                if platform != "any"
                    && !platforms.is_empty()
                    && !platforms.iter().any(|found| runs_on(found, platform)) =>
            {
                refuse(format!("was built for {}, not for {platform}", platforms.join(" and ")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the disk space that machines must have (bytes).
    pub(crate) fn needs_bytes(&self) -> u64 {
        let Contents { disk_bytes, unpacked_bytes, .. } = self.contents;
        if self.is_unusually_large() { disk_bytes.max(unpacked_bytes) } else { disk_bytes }
    }

    fn is_unusually_large(&self) -> bool {
        self.contents.unpacked_bytes > budget::usual_unpacked_bytes(self.size)
    }

    /// Returns what the publisher should know, for people.
    /// `is_guessed` says that the platform comes from the programs alone.
    pub(crate) fn warnings(&self, path: &Path, platform: &str, is_guessed: bool) -> Vec<String> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let remarks = &self.contents.remarks;
        let mut lines = vec![];
        let mut found = |finding: &Finding, text: &str| {
            if finding.count > 0 {
                let more = if finding.count > 1 { format!(" and {} more", finding.count - 1) } else { String::new() };
                lines.push(format!("{file}: {:?}{more} {text}", finding.first));
            }
        };
        found(&remarks.set_id, "sets the user or group id; machines unpack it without that bit");
        found(&remarks.repeated, "is in the archive more than once; the last one counts");
        found(&remarks.old_names, "has a name that is not UTF-8; it is read as code page 437");
        found(&remarks.apple_double, "is macOS metadata; leave it out with COPYFILE_DISABLE=1");
        if !platform.starts_with("windows") {
            found(&remarks.made_executable, "becomes executable by its content, because the zip has no modes");
        }
        if remarks.has_data_after_end {
            lines.push(format!("{file}: data after the end of the tar archive are ignored"));
        }
        if self.is_unusually_large() {
            let size = format_size(self.needs_bytes());
            lines.push(format!("{file}: unpacks to {size}, far more than usual; machines need that much room"));
        }
        if let Some(entry) = self.natives.get(platform).filter(|_| is_guessed) {
            lines.push(format!(
                "{file}: taken as {platform} because of {entry:?}; if it runs on other platforms too, pass --platform any"
            ));
        }
        if platform == "any" {
            if !self.natives.is_empty() {
                let natives = self.list_natives();
                lines.push(format!("{file}: goes to machines of every platform, but has programs for {natives}"));
            }
            let windows = NameRules::for_platform("windows");
            if let Some((_, refusal)) = self.contents.refused_elsewhere.iter().find(|(rules, _)| *rules == windows) {
                let next = "if it is not for them, pass --platform";
                lines.push(format!("{file}: Windows machines will refuse it: {refusal}; {next}"));
            }
        }
        lines
    }

    fn list_natives(&self) -> String {
        let each: Vec<String> =
            self.natives.iter().take(6).map(|(platform, entry)| format!("{platform} ({entry})")).collect();
        each.join(", ")
    }
}

fn unusable(path: &Path, source: ArchiveError) -> PublisherError {
    PublisherError::UnusableArchive { path: path.to_owned(), source }
}

/// Returns the path in the archive of a command's program: `{dir}/x`, or a relative path. Bare names and absolute paths
/// are programs of the system.
fn path_in_archive(program: &str) -> Option<&str> {
    match program.strip_prefix("{dir}") {
        Some(rest) => Some(rest.trim_start_matches(['/', '\\'])),
        None if program.starts_with('/') || program.contains("{dir}") || program.contains(':') => None,
        None if program.contains('/') => Some(program),
        None => None,
    }
}

fn is_bare_name(program: &str) -> bool {
    !program.contains(['/', '\\', '{'])
}

/// Returns whether this is a placeholder, such as `{version}`, that stands for nothing.
fn is_unknown_placeholder(word: &str) -> bool {
    word.starts_with('{') && word.ends_with('}') && word != "{dir}"
}

/// Names entries that may be meant.
fn suggestion(tree: &Tree, program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let found = tree.paths_named(name);
    match found.first() {
        Some(path) => format!("; it has {path:?}"),
        None => String::new(),
    }
}

/// Whether a machine of this platform can run a program for `program`: also those that its system translates or knows
/// from before.
fn runs_on(program: &str, platform: &str) -> bool {
    const ALSO: &[(&str, &str)] = &[
        ("windows-x86", "windows-x86_64"),
        ("windows-x86", "windows-aarch64"),
        ("windows-x86_64", "windows-aarch64"),
        ("macos-x86_64", "macos-aarch64"),
        ("linux-x86", "linux-x86_64"),
        ("linux-arm", "linux-aarch64"),
    ];
    program == platform || ALSO.contains(&(program, platform))
}

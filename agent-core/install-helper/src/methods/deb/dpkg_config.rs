//! Failures that come from the machine's configuration of dpkg: an option that it does not know, or a command (hook) of
//! it that fails. The package has no part in them, and every other package fails in the same way.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What dpkg says when a hook fails.
const HOOK_FAILED: &str = "error executing hook '";
/// What dpkg says when an option of its configuration has a wrong value, without the place.
const WRONG_VALUE: &str = "unknown force/refuse option '";
/// What dpkg says when it has begun to work on a deb.
const AT_WORK: &str = "Preparing to unpack ";
/// How dpkg begins what is wrong with a package.
const PACKAGE_FAILED: &str = "dpkg: error processing ";

/// dpkg's files of settings, for programs that run with [`crate::sys::clean_environment`].
fn files() -> Vec<PathBuf> {
    let folder = Path::new("/etc/dpkg/dpkg.cfg.d");
    let parts = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = parts.chain(["/etc/dpkg/dpkg.cfg".into(), "/.dpkg.cfg".into()]).collect();
    files.sort();
    files
}

/// Where an option is set.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    file: PathBuf,
    /// Counted from 1.
    line: usize,
    option: String,
}

/// Finds the setting with this value, of an option that has one of these words in its name.
fn find(files: &[PathBuf], words: &[&str], value: &str) -> Option<Setting> {
    files.iter().find_map(|file| {
        let text = fs::read(file).ok()?;
        let text = String::from_utf8_lossy(&text);
        text.lines().enumerate().find_map(|(at, line)| {
            let option = line.split([' ', '\t', '=']).find(|word| !word.is_empty())?;
            let is_it = words.iter().any(|word| option.contains(word)) && !option.starts_with('#');
            let setting = || Setting { file: file.clone(), line: at + 1, option: option.to_owned() };
            (is_it && line.contains(value)).then(setting)
        })
    })
}

/// Returns what is wrong with the configuration, if dpkg failed because of it.
pub(crate) fn describe_error(output: &str) -> Option<String> {
    describe_error_with(output, &files())
}

fn describe_error_with(output: &str, files: &[PathBuf]) -> Option<String> {
    let error = output.lines().filter_map(|line| line.strip_prefix("dpkg: error: ")).next_back()?;
    if let Some(wrong) = error.strip_prefix("configuration error: ") {
        let place = wrong.splitn(3, ':').collect::<Vec<_>>();
        let shown = match place.as_slice() {
            [file, line, what] => format!("line {line} of {file}:{what}"),
            _ => wrong.to_owned(),
        };
        return Some(format!("dpkg's configuration on this machine is wrong: {shown}"));
    }
    if error.contains("configuration file '") || error.contains("configuration directory '") {
        return Some(format!("dpkg cannot read its configuration on this machine: {error}"));
    }
    if let Some(value) = error.strip_prefix(WRONG_VALUE).and_then(|rest| rest.strip_suffix('\'')) {
        // Without such a setting, the option is the install helper's own.
        let Setting { file, line, .. } = find(files, &["force", "refuse"], value)?;
        let file = file.display();
        return Some(format!("dpkg's configuration on this machine is wrong: line {line} of {file}: {error}"));
    }
    let is_about_a_package = output.lines().any(|line| line.starts_with(PACKAGE_FAILED));
    failed_hook(error, files).filter(|_| !is_about_a_package)
}

/// Whether a hook is all that failed, after dpkg was through with the debs.
pub(crate) fn only_last_hook_failed(output: &str) -> bool {
    let says = |start: &str| output.lines().any(|line| line.starts_with(start));
    output.contains(HOOK_FAILED) && says(AT_WORK) && !says(PACKAGE_FAILED)
}

fn failed_hook(error: &str, files: &[PathBuf]) -> Option<String> {
    let (command, status) = error.strip_prefix(HOOK_FAILED)?.rsplit_once("', exit code ")?;
    let exit = match status.trim().parse::<u32>() {
        // dpkg prints the status as the system has it.
        Ok(status) if status >= 256 => format!("exited with code {}", status >> 8),
        _ => format!("ended with status {status}"),
    };
    let place = match find(files, &["invoke"], command) {
        Some(Setting { file, line, option }) => format!("{option} in line {line} of {}", file.display()),
        None => "a pre-invoke or post-invoke of its configuration in /etc/dpkg".into(),
    };
    Some(format!("a command that dpkg's configuration on this machine runs failed ({place}): `{command}` {exit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_and_line_of_the_configuration_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&first, "# pre-invoke=\"exit 3\"\nno-debsig\nforce=foo\n").unwrap();
        fs::write(&second, "log /x\n  pre-invoke = \"exit 3\"\n").unwrap();
        let files = [first.clone(), second.clone()];
        let (first, second) = (first.display(), second.display());
        let describe = |output: &str| describe_error_with(output, &files);
        let wrong = "dpkg's configuration on this machine is wrong";
        assert_eq!(
            describe("dpkg: error: configuration error: /etc/dpkg/dpkg.cfg.d/x:3: unknown option 'y'\n"),
            Some(format!("{wrong}: line 3 of /etc/dpkg/dpkg.cfg.d/x: unknown option 'y'"))
        );
        assert_eq!(
            describe("dpkg: error: unknown force/refuse option 'foo'\n\n(null)\n"),
            Some(format!("{wrong}: line 3 of {first}: unknown force/refuse option 'foo'"))
        );
        assert_eq!(describe("dpkg: error: unknown force/refuse option 'remove-protected'\n"), None);
        let unreadable = "read error in configuration file '/.dpkg.cfg': Is a directory";
        assert!(describe(&format!("dpkg: error: {unreadable}\n")).unwrap().ends_with(unreadable));
        let hook = |command: &str| format!("dpkg: error: error executing hook '{command}', exit code 768\n");
        assert_eq!(
            describe(&hook("exit 3")),
            Some(format!(
                "a command that dpkg's configuration on this machine runs failed (pre-invoke in line 2 of {second}): \
                 `exit 3` exited with code 3"
            ))
        );
        assert!(describe(&hook("gone")).unwrap().contains("in /etc/dpkg): `gone`"));
    }

    #[test]
    fn a_packages_own_error_is_not_taken_for_the_configurations() {
        let failed = "dpkg: error processing package tool (--install):\n it failed\n";
        let hook = "dpkg: error: error executing hook 'exit 3', exit code 768\n";
        assert_eq!(describe_error_with(failed, &[]), None);
        assert_eq!(describe_error_with(&format!("{failed}{hook}"), &[]), None);
        let at_work = "Preparing to unpack tool.deb ...\n";
        assert!(only_last_hook_failed(&format!("{at_work}{hook}")));
        assert!(!only_last_hook_failed(hook) && !only_last_hook_failed(&format!("{at_work}{failed}{hook}")));
    }
}

//! Runs dpkg and interprets its output.

use crate::{
    command::{ExternalCommand, FinishedCommand, OutputLog, ScriptWatch},
    error::InstallError,
    methods::deb::{contents::Deb, package::Package},
    package_state::Want,
    sys,
};
use banyan_proto::Reason;
use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Time limit of one run of dpkg as a whole. Its scripts have limits of their own; this one ends a dpkg that hangs on a
/// dead file system.
const RUN_TIMEOUT: Duration = Duration::from_secs(48 * 3600);
/// Time limit for a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Most lines that are read as the cause of an error.
const MAX_CAUSE_LINES: usize = 4;
/// How dpkg announces each script with `-D2`.
const SCRIPT_STARTS: &str = "fork/exec ";
/// What dpkg's debugging lines begin with.
const DEBUG_LINE: &str = "D000002: ";

/// Tells dpkg that its caller holds `lock-frontend`, which the install helper does from the plan to the end.
pub(crate) const FRONTEND_LOCKED: (&str, &str) = ("DPKG_FRONTEND_LOCKED", "true");

/// dpkg for one root folder.
pub(crate) struct Dpkg {
    root: PathBuf,
    /// How long each script may run.
    script_limit: Duration,
}

impl Dpkg {
    pub(crate) fn new(root: &Path, script_limit: Duration) -> Self {
        Self { root: root.to_owned(), script_limit }
    }

    fn command(&self, program: &str, arguments: Vec<OsString>, limit: Duration) -> ExternalCommand {
        let mut argv = vec![program.into()];
        argv.extend(arguments);
        let environment = vec![
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            ("APT_LISTCHANGES_FRONTEND", "none"),
            FRONTEND_LOCKED,
        ];
        ExternalCommand { argv, folder: "/".into(), limit, environment, input: Vec::new(), scripts: None }
    }

    fn start(command: &ExternalCommand, program: &str, log: &mut OutputLog) -> Result<FinishedCommand, InstallError> {
        command.run(log).map_err(|error| match error {
            InstallError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => InstallError::new(
                Reason::InstallFailed,
                format!("this machine has no {program}, so it cannot install debs"),
            ),
            other => other,
        })
    }

    /// Returns the architecture that dpkg was built for.
    ///
    /// # Errors
    /// When there is no dpkg.
    pub(crate) fn native_architecture(&self) -> Result<String, InstallError> {
        let command = self.command("dpkg", vec!["--print-architecture".into()], QUERY_TIMEOUT);
        let finished = Self::start(&command, "dpkg", &mut OutputLog::default())?;
        let name = finished.output.trim();
        if finished.is_success() && !name.is_empty() {
            return Ok(name.to_owned());
        }
        Err(InstallError::new(Reason::InstallFailed, format!("dpkg {}: {name}", finished.describe_exit())))
    }

    /// Verifies that the deb's scripts may be started from where dpkg keeps them.
    ///
    /// # Errors
    /// [`Reason::NoExec`] with the place.
    pub(crate) fn check_scripts_may_run(&self, deb: &Deb) -> Result<(), InstallError> {
        let folder = self.root.join("var/lib/dpkg");
        let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(&folder);
        if !deb.has_scripts() || !sys::forbids_programs(existing) {
            return Ok(());
        }
        let detail = format!(
            "the disk of {} is mounted with noexec, so dpkg could not run the package's scripts; nothing was changed",
            existing.display()
        );
        Err(InstallError::new(Reason::NoExec, detail))
    }

    /// Lets dpkg itself simulate the installation. It notices what the plan cannot know, such as a deb in a format that
    /// this dpkg does not read.
    ///
    /// # Errors
    /// When dpkg would refuse the deb.
    pub(crate) fn simulate(&self, deb: &Path, log: &mut OutputLog) -> Result<(), InstallError> {
        let mut arguments = self.arguments(&["--no-act", "--force-downgrade", "--force-hold"]);
        arguments.extend(["--install".into(), deb.into()]);
        let finished = Self::start(&self.command("dpkg", arguments, QUERY_TIMEOUT), "dpkg", log)?;
        if finished.is_success() { Ok(()) } else { Err(to_error(&finished, &self.root)) }
    }

    /// Unpacks and configures a deb, even one that is older than the installed version. An error says what dpkg
    /// reported; the package may be installed all the same.
    ///
    /// # Errors
    /// What dpkg reported.
    pub(crate) fn install(&self, deb: &Path, log: &mut OutputLog) -> Result<(), InstallError> {
        self.run_dpkg(
            &["--force-confdef", "--force-confold", "--force-downgrade", "--force-hold"],
            "--install",
            deb.into(),
            log,
        )
    }

    /// Removes a package in any state, with or without its settings.
    ///
    /// # Errors
    /// What dpkg reported.
    pub(crate) fn remove(
        &self,
        package: &Package,
        keep_settings: bool,
        log: &mut OutputLog,
    ) -> Result<(), InstallError> {
        let name = if package.architecture == "all" { package.name.clone() } else { package.id() };
        let mut options = vec!["--force-remove-reinstreq", "--force-hold"];
        if package.is_essential {
            options.extend(["--force-remove-essential", "--force-remove-protected"]);
        }
        self.run_dpkg(&options, if keep_settings { "--remove" } else { "--purge" }, name.into(), log)
    }

    /// Sets what the administrator wants of a package, such as the hold that was there before.
    ///
    /// # Errors
    /// When dpkg fails.
    pub(crate) fn set_want(&self, package: &Package, want: Want, log: &mut OutputLog) -> Result<(), InstallError> {
        let name = if package.architecture == "all" { package.name.clone() } else { package.id() };
        let mut admin = OsString::from("--admindir=");
        admin.push(self.root.join("var/lib/dpkg"));
        let mut command = self.command("dpkg", vec![admin, "--set-selections".into()], QUERY_TIMEOUT);
        command.input = format!("{name} {}\n", want.word()).into_bytes();
        let finished = Self::start(&command, "dpkg", log)?;
        if finished.is_success() { Ok(()) } else { Err(to_error(&finished, &self.root)) }
    }

    fn arguments(&self, options: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--no-pager".into()];
        if self.root != Path::new("/") {
            let mut root = OsString::from("--root=");
            root.push(&self.root);
            arguments.push(root);
        }
        arguments.extend(options.iter().map(OsString::from));
        arguments
    }

    fn run_dpkg(
        &self,
        options: &[&str],
        verb: &str,
        argument: OsString,
        log: &mut OutputLog,
    ) -> Result<(), InstallError> {
        let mut arguments = self.arguments(&[&["-D2"], options].concat());
        arguments.extend([verb.into(), argument]);
        let mut command = self.command("dpkg", arguments, RUN_TIMEOUT);
        command.scripts = Some(ScriptWatch { limit: self.script_limit, hidden: DEBUG_LINE, name_in: script_in });
        let finished = Self::start(&command, "dpkg", log)?;
        if finished.is_success() { Ok(()) } else { Err(to_error(&finished, &self.root)) }
    }
}

/// Returns the script that a debugging line of dpkg announces: `tool.postinst`.
fn script_in(line: &str) -> Option<String> {
    let path = line.strip_prefix(DEBUG_LINE)?.strip_prefix(SCRIPT_STARTS)?.split(" (").next()?;
    let path = Path::new(path.trim());
    let name = path.file_name()?.to_str()?;
    // A script of a deb that is being unpacked has no name of its own yet.
    let is_new = path.parent().is_some_and(|folder| folder.ends_with("tmp.ci"));
    Some(if is_new { format!("the new version's {name}") } else { name.to_owned() })
}

/// Maps dpkg's output to a reason. dpkg has one exit code for all errors, so the (untranslated) text decides.
fn to_error(finished: &FinishedCommand, root: &Path) -> InstallError {
    let has = |text: &str| finished.output.contains(text);
    if let Some(hung) = &finished.stopped_script {
        return InstallError::new(Reason::ScriptTimeout, hung.clone());
    }
    if has("lock was locked by another process") || has("unable to lock") || has("is locked by another process") {
        return InstallError::new(Reason::PackageManagerBusy, "another program holds dpkg's lock");
    }
    let line_with = |texts: &[&str]| {
        let line = finished.output.lines().find(|line| texts.iter().all(|text| line.contains(text)))?;
        Some(line.trim())
    };
    if let Some(line) = line_with(&["No space left on device"]).or_else(|| line_with(&["Disk quota exceeded"])) {
        return InstallError::new(Reason::DiskFull, format!("dpkg ran out of disk space: {line}"));
    }
    if let Some(line) = line_with(&["Read-only file system"]) {
        return InstallError::new(Reason::ReadOnly, format!("dpkg cannot write: {line}"));
    }
    let scripts = root.join("var/lib/dpkg");
    if let Some(line) = line_with(&["unable to execute", "Permission denied"])
        && sys::forbids_programs(&scripts)
    {
        let place = scripts.display();
        let detail =
            format!("the disk of {place} is mounted with noexec, so dpkg cannot run the package's scripts: {line}");
        return InstallError::new(Reason::NoExec, detail);
    }
    let detail = match describe_error(&finished.output) {
        Some(cause) => format!("dpkg {}: {cause}", finished.describe_exit()),
        None => format!("dpkg {}", finished.describe_exit()),
    };
    InstallError::new(Reason::InstallFailed, detail)
}

/// Returns dpkg's first error with its cause in one line: the lines that continue it, or the dependency that it is
/// about, and what a script printed last.
fn describe_error(output: &str) -> Option<String> {
    let lines: Vec<&str> = output.lines().collect();
    let starts = ["dpkg: error", "dpkg-deb: error", "dpkg: unrecoverable"];
    let Some(at) = lines.iter().position(|line| starts.iter().any(|start| line.starts_with(start))) else {
        return lines.iter().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().into());
    };
    let mut cause = lines[at].trim_start_matches("dpkg: ").trim().to_owned();
    let is_fatal = cause.starts_with("unrecoverable");
    let follows = |line: &&&str| line.starts_with(' ') || (is_fatal && !line.trim().is_empty());
    for line in lines[at + 1..].iter().take_while(follows).take(MAX_CAUSE_LINES) {
        let _ = write!(cause, " {}", line.trim());
    }
    let needs = |line: &&&str| line.contains(" depends on ") || line.contains(" pre-depends on ");
    let printed = lines[..at].last().map(|line| line.trim());
    if let Some(unmet) = lines[..at].iter().find(needs).filter(|_| cause.contains("dependency problem")) {
        let _ = write!(cause, ": {}", unmet.trim().trim_end_matches("; however:"));
    } else if let Some(printed) = printed.filter(|line| cause.contains("script") && !is_progress(line)) {
        let _ = write!(cause, "; it printed last: {printed}");
    }
    Some(cause)
}

/// Whether dpkg itself wrote a line.
fn is_progress(line: &str) -> bool {
    let starts =
        ["dpkg", "Setting up ", "Unpacking ", "Preparing ", "Removing ", "Processing triggers ", "$ ", "(Reading"];
    line.is_empty() || starts.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_an_error_is_in_its_summary() {
        let output = "Setting up tool (2) ...\nno licence found\ndpkg: error processing package tool (--install):\n \
                      installed tool package post-installation script subprocess returned error exit status 7\n\
                      Errors were encountered while processing:\n tool\n";
        assert_eq!(
            describe_error(output).unwrap(),
            "error processing package tool (--install): installed tool package post-installation script subprocess \
             returned error exit status 7; it printed last: no licence found"
        );
        let output = "dpkg: unrecoverable fatal error, aborting:\n unknown system group 'x' in statoverride file;\nyou \
                      can remove it\n";
        assert_eq!(
            describe_error(output).unwrap(),
            "unrecoverable fatal error, aborting: unknown system group 'x' in statoverride file; you can remove it"
        );
        let output = "dpkg: dependency problems prevent configuration of tool:\n tool depends on lib; however:\n  Package \
                      lib is not installed.\n\ndpkg: error processing package tool (--install):\n dependency problems - \
                      leaving unconfigured\n";
        assert_eq!(
            describe_error(output).unwrap(),
            "error processing package tool (--install): dependency problems - leaving unconfigured: tool depends on lib"
        );
        assert_eq!(describe_error("one\ntwo\n").unwrap(), "two");
        assert_eq!(describe_error(""), None);
    }

    #[test]
    fn the_running_script_is_named() {
        let line = "D000002: fork/exec /root/var/lib/dpkg/info/tool.postinst ( configure  )";
        assert_eq!(script_in(line).as_deref(), Some("tool.postinst"));
        let line = "D000002: fork/exec /var/lib/dpkg/tmp.ci/preinst ( install )";
        assert_eq!(script_in(line).as_deref(), Some("the new version's preinst"));
        assert_eq!(script_in("D000002: maintscript_new nonexistent preinst"), None);
        assert_eq!(script_in("fork/exec x"), None);
    }
}

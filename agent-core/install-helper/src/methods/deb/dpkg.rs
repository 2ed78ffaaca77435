//! Runs dpkg and interprets its output.

use crate::{
    command::{DPKG_LOCKED, ExternalCommand, FinishedCommand, OutputLog, ScriptWatch, describe_shell_code},
    error::InstallError,
    methods::deb::{contents::Deb, dpkg_config, package::Package},
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
const QUERY_TIMEOUT: Duration = Duration::from_secs(900);
/// Most lines that are read as the cause of an error.
const MAX_CAUSE_LINES: usize = 4;
/// How dpkg announces each script with `-D2`.
const SCRIPT_STARTS: &str = "fork/exec ";
/// What dpkg's debugging lines begin with.
const DEBUG_LINE: &str = "D000002: ";

/// How dpkg says that a signal ended a script, and the signal's name.
const SIGNALS: [(&str, &str); 12] = [
    ("Killed", "SIGKILL"),
    ("Segmentation fault", "SIGSEGV"),
    ("Aborted", "SIGABRT"),
    ("Bus error", "SIGBUS"),
    ("Illegal instruction", "SIGILL"),
    ("Floating point exception", "SIGFPE"),
    ("Bad system call", "SIGSYS"),
    ("Terminated", "SIGTERM"),
    ("Hangup", "SIGHUP"),
    ("Broken pipe", "SIGPIPE"),
    ("CPU time limit exceeded", "SIGXCPU"),
    ("File size limit exceeded", "SIGXFSZ"),
];

/// How dpkg and debconf say that another program holds a lock.
const LOCKED: [&str; 3] = ["lock was locked by another process", "unable to lock", "is locked by another process"];
/// How dpkg says that one of its own files is damaged.
const DAMAGED: [&[&str]; 5] = [
    &["parsing file", "/var/lib/dpkg/status"],
    &["parsing file", "/var/lib/dpkg/updates/"],
    &["files list file for package"],
    &["statoverride file"],
    &["diversions file"],
];

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
            DPKG_LOCKED,
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
        if let Some(detail) = dpkg_config::describe_error(&finished.output) {
            return Err(InstallError::new(Reason::PackageManagerMisconfigured, detail));
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
        let mut arguments = self.arguments(&["--no-act", "--auto-deconfigure", "--force-downgrade", "--force-hold"]);
        arguments.extend(["--install".into(), deb.into()]);
        let finished = Self::start(&self.command("dpkg", arguments, QUERY_TIMEOUT), "dpkg", log)?;
        // A hook says nothing about the deb. One that runs last does not prevent the installation.
        let is_fine = finished.is_success() || dpkg_config::only_last_hook_failed(&finished.output);
        if is_fine { Ok(()) } else { Err(to_error(&finished, &self.root)) }
    }

    /// Unpacks and configures debs, even such that are older than the installed versions. An error says what dpkg
    /// reported; the packages may be installed all the same.
    ///
    /// # Errors
    /// What dpkg reported.
    pub(crate) fn install(&self, debs: &[&Path], log: &mut OutputLog) -> Result<(), InstallError> {
        if debs.is_empty() {
            return Ok(());
        }
        self.run_dpkg(
            // Packages that are removed together can need each other.
            &["--auto-deconfigure", "--force-confdef", "--force-confold", "--force-downgrade", "--force-hold"],
            "--install",
            debs.iter().map(OsString::from).collect(),
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
        self.run_dpkg(&options, if keep_settings { "--remove" } else { "--purge" }, vec![name.into()], log)
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
        objects: Vec<OsString>,
        log: &mut OutputLog,
    ) -> Result<(), InstallError> {
        let mut arguments = self.arguments(&[&["-D2"], options].concat());
        arguments.push(verb.into());
        arguments.extend(objects);
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
    if let Some(hung) = &finished.stopped_script {
        return InstallError::new(Reason::ScriptTimeout, hung.clone());
    }
    let lines = decisive_lines(&finished.output);
    let line_with = |texts: &[&str]| lines.iter().find(|line| texts.iter().all(|text| line.contains(text)));
    if LOCKED.iter().any(|text| line_with(&[text]).is_some()) {
        return InstallError::new(Reason::PackageManagerBusy, "another program holds dpkg's lock");
    }
    if let Some(line) = line_with(&["No space left on device"]).or_else(|| line_with(&["Disk quota exceeded"])) {
        return InstallError::new(Reason::DiskFull, format!("dpkg ran out of disk space: {line}"));
    }
    if let Some(line) = line_with(&["Read-only file system"]) {
        return InstallError::new(Reason::ReadOnly, format!("dpkg cannot write: {line}"));
    }
    if let Some(detail) = dpkg_config::describe_error(&finished.output) {
        return InstallError::new(Reason::PackageManagerMisconfigured, detail);
    }
    let is_damage = |line: &&&str| {
        !line.contains("warning") && DAMAGED.iter().any(|texts| texts.iter().all(|text| line.contains(text)))
    };
    if let Some(line) = lines.iter().find(is_damage) {
        let detail = format!("dpkg cannot use its own files: {line}");
        return InstallError::new(Reason::PackageDatabaseDamaged, detail);
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
        Some(cause) => format!("dpkg {}: {}", finished.describe_exit(), name_signal(cause)),
        None => format!("dpkg {}", finished.describe_exit()),
    };
    InstallError::new(Reason::InstallFailed, detail)
}

/// Returns what dpkg and its helpers say, and what a script that failed printed last. What scripts printed before can be
/// about anything: a watch that the system refuses is called "no space left on device", too.
fn decisive_lines(output: &str) -> Vec<&str> {
    const HELPERS: [&str; 4] = ["dpkg", "debconf: ", "tar: ", "rm: "];
    let lines: Vec<&str> = output.lines().collect();
    let mut found = Vec::new();
    let mut is_continued = false;
    for (at, line) in lines.iter().enumerate() {
        let is_by_dpkg = HELPERS.iter().any(|start| line.starts_with(start));
        let is_last_of_script = lines.get(at + 1).is_some_and(|next| next.starts_with("dpkg: error processing"));
        is_continued = is_by_dpkg || (is_continued && line.starts_with(' '));
        if is_continued || (is_last_of_script && !is_progress(line)) {
            found.push(line.trim());
        }
    }
    found
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
    } else if let Some(script) = lines[..at].iter().rfind(|line| line.starts_with("dpkg: warning: old ")) {
        // The old version's own script, which no new one can replace.
        let _ = write!(cause, "; {}", script.trim_start_matches("dpkg: warning: "));
    } else if let Some(printed) = printed.filter(|line| cause.contains("script") && !is_progress(line)) {
        let _ = write!(cause, "; it printed last: {printed}");
    }
    Some(cause)
}

/// Names the signal that ended a script, or the last program of one.
fn name_signal(cause: String) -> String {
    const STATUS: &str = "error exit status ";
    let killed = SIGNALS.iter().map(|(word, name)| (format!("killed by signal ({word})"), name));
    if let Some((text, name)) = killed.into_iter().find(|(text, _)| cause.contains(text)) {
        return cause.replace(&text, &format!("killed by {name}"));
    }
    let Some((before, status)) = cause.split_once(STATUS) else { return cause };
    let digits = status.find(|c: char| !c.is_ascii_digit()).unwrap_or(status.len());
    let (code, rest) = status.split_at(digits);
    let explained = code.parse().map_or_else(|_| String::new(), describe_shell_code);
    format!("{before}{STATUS}{code}{explained}{rest}")
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
        let output = "dpkg: warning: old tool package pre-removal script subprocess returned error exit status 1\ndpkg: \
                      trying script from the new package instead ...\ndpkg: error processing archive /t.deb \
                      (--install):\n there is no script in the new version of the package - giving up\n";
        assert_eq!(
            describe_error(output).unwrap(),
            "error processing archive /t.deb (--install): there is no script in the new version of the package - giving \
             up; old tool package pre-removal script subprocess returned error exit status 1"
        );
        assert_eq!(describe_error("one\ntwo\n").unwrap(), "two");
        assert_eq!(describe_error(""), None);
    }

    #[test]
    fn what_scripts_print_on_their_way_is_not_taken_for_dpkgs_trouble() {
        let reason = |output: &str| {
            let (exit, output) = (crate::command::ExitKind::Code(1), output.to_owned());
            let finished = FinishedCommand { exit, output, stopped_script: None, memory_ran_out: false };
            to_error(&finished, Path::new("/")).reason()
        };
        let failed = "dpkg: error processing package tool (--install):\n installed tool package post-installation \
                      script subprocess returned error exit status 1\n";
        for words in ["No space left on device", "Read-only file system", "tool: unable to lock its cache"] {
            let output = format!("Setting up tool (2) ...\nwatch: {words}\nno licence found\n{failed}");
            assert_eq!(reason(&output), Reason::InstallFailed, "{words}");
        }
        for (words, expected) in [
            ("gzip: stdout: No space left on device", Reason::DiskFull),
            ("cp: cannot create '/usr/x': Read-only file system", Reason::ReadOnly),
            ("debconf: DbDriver \"config\": /x is locked by another process", Reason::PackageManagerBusy),
        ] {
            assert_eq!(reason(&format!("Setting up tool (2) ...\n{words}\n{failed}")), expected, "{words}");
        }
        for (words, expected) in [
            ("dpkg: error: dpkg frontend lock was locked by another process with pid 7", Reason::PackageManagerBusy),
            (
                "dpkg: error processing archive /x.deb (--install):\n cannot copy extracted data for './usr/x' to \
                 '/usr/x.dpkg-new': failed to write (No space left on device)",
                Reason::DiskFull,
            ),
            (
                "dpkg: unrecoverable fatal error, aborting:\n unknown system group 'x' in statoverride file; remove it",
                Reason::PackageDatabaseDamaged,
            ),
            (
                "dpkg: error: parsing file '/var/lib/dpkg/status' near line 7:\n newline in field name 'x'",
                Reason::PackageDatabaseDamaged,
            ),
            ("dpkg: warning: files list file for package 'x' missing; assuming it has none", Reason::InstallFailed),
        ] {
            assert_eq!(reason(&format!("{words}\n")), expected, "{words}");
        }
    }

    #[test]
    fn the_signal_that_ended_a_script_is_named() {
        for (dpkgs, names) in [
            ("subprocess was killed by signal (Killed)", "subprocess was killed by SIGKILL"),
            ("killed by signal (Segmentation fault), core dumped", "killed by SIGSEGV, core dumped"),
            (
                "returned error exit status 139; it said x",
                "returned error exit status 139 (as a shell does after SIGSEGV); it said x",
            ),
            ("returned error exit status 7", "returned error exit status 7"),
        ] {
            assert_eq!(name_signal(dpkgs.into()), names);
        }
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

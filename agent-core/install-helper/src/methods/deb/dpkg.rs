//! Runs dpkg and interprets its output.

use crate::{
    command::{Line, Ran, Talk},
    error::{Doing, Trouble},
    storage::journal::PackageState,
};
use banyan_proto::Reason;
use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// Time limit for installing or removing one package. It also ends scripts that wait for input.
const WORK: Duration = Duration::from_secs(30 * 60);
/// Time limit for a query.
const QUESTION: Duration = Duration::from_secs(60);

/// dpkg for one root folder.
pub(crate) struct Dpkg {
    root: PathBuf,
}

/// The control fields of a deb.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) installed_bytes: u64,
}

/// Whether a package counts as installed. Pending triggers of other packages do not matter.
pub(crate) fn is_installed(state: &PackageState) -> bool {
    matches!(state.status.as_str(), "installed" | "triggers-awaited" | "triggers-pending")
}

/// Picks the state of the package for one architecture. A package may switch between `all` and a real architecture.
pub(crate) fn pick(states: Vec<PackageState>, architecture: &str) -> PackageState {
    let nothing = PackageState { status: "not-installed".into(), version: String::new(), architecture: String::new() };
    let rank = |state: &PackageState| (state.architecture == architecture, is_installed(state));
    states.into_iter().filter(|state| state.status != "not-installed").max_by_key(rank).unwrap_or(nothing)
}

impl Dpkg {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn database(&self) -> PathBuf {
        self.root.join("var/lib/dpkg")
    }

    /// Creates an empty database below a root that has none yet.
    pub(crate) fn make_database(&self) -> Result<(), Trouble> {
        let doing = || format!("creating an empty package database in {}", self.database().display());
        for folder in ["info", "updates", "triggers"] {
            fs::create_dir_all(self.database().join(folder)).doing(doing)?;
        }
        for file in ["status", "available"] {
            File::options().create(true).append(true).open(self.database().join(file)).doing(doing)?;
        }
        Ok(())
    }

    fn run(&self, program: &str, arguments: Vec<OsString>, limit: Duration, talk: &mut Talk) -> Result<Ran, Trouble> {
        let mut argv = vec![program.into()];
        argv.extend(arguments);
        let environment = vec![("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true")];
        Line { argv, folder: "/".into(), limit, environment }.run(talk).map_err(|trouble| match trouble {
            Trouble::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Trouble::because(
                Reason::InstallFailed,
                format!("this machine has no {program}, so it cannot install debs"),
            ),
            other => other,
        })
    }

    /// Returns the database's entries for a package, one for each architecture. Needs no lock.
    pub(crate) fn query(&self, package: &str) -> Result<Vec<PackageState>, Trouble> {
        if !self.database().join("status").exists() && self.root != Path::new("/") {
            return Ok(Vec::new());
        }
        let mut admin = OsString::from("--admindir=");
        admin.push(self.database());
        let format = "--showformat=${db:Status-Status}|${Version}|${Architecture}\\n";
        let arguments = vec![admin, "--show".into(), format.into(), package.into()];
        // This query runs often, and its relevant result is reported elsewhere, so its output is not logged.
        let ran = self.run("dpkg-query", arguments, QUESTION, &mut Talk::default())?;
        match ran.ended {
            crate::command::Ended::Code(Some(0)) => Ok(ran.output.lines().filter_map(parse_state).collect()),
            // There is no such package.
            crate::command::Ended::Code(Some(1)) => Ok(Vec::new()),
            _ => {
                let detail = format!("dpkg-query {}: {}", ran.words(), ran.output.trim());
                Err(Trouble::because(Reason::InstallFailed, detail))
            }
        }
    }

    /// Reads the control fields of a deb.
    pub(crate) fn describe(&self, deb: &Path, talk: &mut Talk) -> Result<Described, Trouble> {
        let fields = ["Package", "Version", "Architecture", "Installed-Size"];
        let arguments = ["--field".into(), deb.into()].into_iter().chain(fields.map(OsString::from)).collect();
        let ran = self.run("dpkg-deb", arguments, QUESTION, talk)?;
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
            ran.output.lines().find_map(value).unwrap_or_default()
        };
        let kib: u64 = field("Installed-Size").parse().unwrap_or(0);
        let described = Described {
            package: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            installed_bytes: kib.saturating_mul(1024),
        };
        if !ran.succeeded() || described.package.is_empty() {
            let detail = format!("dpkg cannot read the file as a deb: {}", ran.output.trim());
            return Err(Trouble::because(Reason::InstallFailed, detail));
        }
        Ok(described)
    }

    /// Unpacks and configures a deb, even one that is older than the installed version.
    pub(crate) fn install(&self, deb: &Path, talk: &mut Talk) -> Result<(), Trouble> {
        self.work(&["--force-confdef", "--force-confold", "--force-downgrade", "--install"], deb.into(), talk)
    }

    /// Removes a package in any state, with or without its settings.
    pub(crate) fn take_off(
        &self,
        package: &str,
        architecture: &str,
        keep_settings: bool,
        talk: &mut Talk,
    ) -> Result<(), Trouble> {
        let name = if architecture == "all" { package.to_owned() } else { format!("{package}:{architecture}") };
        let verb = if keep_settings { "--remove" } else { "--purge" };
        self.work(&["--force-remove-reinstreq", verb], name.into(), talk)
    }

    fn work(&self, options: &[&str], what: OsString, talk: &mut Talk) -> Result<(), Trouble> {
        let mut root = OsString::from("--root=");
        root.push(&self.root);
        let mut arguments: Vec<OsString> = vec!["--no-pager".into()];
        if self.root != Path::new("/") {
            arguments.push(root);
        }
        arguments.extend(options.iter().map(OsString::from));
        arguments.push(what);
        let ran = self.run("dpkg", arguments, WORK, talk)?;
        if ran.succeeded() { Ok(()) } else { Err(explain(&ran)) }
    }
}

fn parse_state(line: &str) -> Option<PackageState> {
    let mut parts = line.split('|').map(str::to_owned);
    Some(PackageState { status: parts.next()?, version: parts.next()?, architecture: parts.next()? })
}

/// Maps dpkg's output to a reason. dpkg has one exit code for all errors, so the (untranslated) text decides.
fn explain(ran: &Ran) -> Trouble {
    let has = |text: &str| ran.output.contains(text);
    if has("lock was locked by another process") || has("unable to lock") || has("is locked by another process") {
        return Trouble::because(Reason::PackageManagerBusy, "another program holds dpkg's lock");
    }
    if has("No space left on device") || has("Disk quota exceeded") {
        return Trouble::because(Reason::DiskFull, "dpkg ran out of disk space");
    }
    let missing = unmet(&ran.output);
    let detail = if missing.is_empty() {
        let errors: Vec<_> = ran.output.lines().filter(|line| line.starts_with("dpkg: error")).collect();
        let said = errors.last().copied().or_else(|| ran.output.lines().last()).unwrap_or_default();
        format!("dpkg {}: {}", ran.words(), said.trim())
    } else {
        format!("it needs packages that are not installed: {}", missing.join("; "))
    };
    Trouble::because(Reason::InstallFailed, detail)
}

/// Returns each dependency from lines like `a depends on b (>= 2); however:`, with the next line, which explains the
/// problem.
fn unmet(output: &str) -> Vec<String> {
    let lines: Vec<_> = output.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if let Some((who, what)) = line.split_once(" depends on ").or_else(|| line.split_once(" pre-depends on "))
            && !who.contains(' ')
        {
            let what = what.trim_end_matches("; however:");
            let why = lines.get(index + 1).map_or("", |next| next.trim_end_matches('.'));
            found.push(format!("{what} ({why})"));
        }
    }
    found
}

//! Runs dpkg and interprets its output.

use crate::{
    command::{ExternalCommand, FinishedCommand, OutputLog},
    error::{InstallError, IoContext},
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
const INSTALL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Time limit for a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// dpkg for one root folder.
pub(crate) struct Dpkg {
    root: PathBuf,
}

/// The control fields of a deb.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DebFields {
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
pub(crate) fn select_state(states: Vec<PackageState>, architecture: &str) -> PackageState {
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
    pub(crate) fn create_database(&self) -> Result<(), InstallError> {
        let context = || format!("creating an empty package database in {}", self.database().display());
        for folder in ["info", "updates", "triggers"] {
            fs::create_dir_all(self.database().join(folder)).context(context)?;
        }
        for file in ["status", "available"] {
            File::options().create(true).append(true).open(self.database().join(file)).context(context)?;
        }
        Ok(())
    }

    fn run(
        &self,
        program: &str,
        arguments: Vec<OsString>,
        limit: Duration,
        log: &mut OutputLog,
    ) -> Result<FinishedCommand, InstallError> {
        let mut argv = vec![program.into()];
        argv.extend(arguments);
        let environment = vec![("DEBIAN_FRONTEND", "noninteractive"), ("DEBCONF_NONINTERACTIVE_SEEN", "true")];
        ExternalCommand { argv, folder: "/".into(), limit, environment }.run(log).map_err(|error| match error {
            InstallError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => InstallError::new(
                Reason::InstallFailed,
                format!("this machine has no {program}, so it cannot install debs"),
            ),
            other => other,
        })
    }

    /// Returns the database's entries for a package, one for each architecture. Needs no lock.
    pub(crate) fn query(&self, package: &str) -> Result<Vec<PackageState>, InstallError> {
        if !self.database().join("status").exists() && self.root != Path::new("/") {
            return Ok(Vec::new());
        }
        let mut admin = OsString::from("--admindir=");
        admin.push(self.database());
        let format = "--showformat=${db:Status-Status}|${Version}|${Architecture}\\n";
        let arguments = vec![admin, "--show".into(), format.into(), package.into()];
        // This query runs often, and its relevant result is reported elsewhere, so its output is not logged.
        let finished = self.run("dpkg-query", arguments, QUERY_TIMEOUT, &mut OutputLog::default())?;
        match finished.exit {
            crate::command::ExitKind::Code(Some(0)) => Ok(finished.output.lines().filter_map(parse_state).collect()),
            // There is no such package.
            crate::command::ExitKind::Code(Some(1)) => Ok(Vec::new()),
            _ => {
                let detail = format!("dpkg-query {}: {}", finished.describe_exit(), finished.output.trim());
                Err(InstallError::new(Reason::InstallFailed, detail))
            }
        }
    }

    /// Reads the control fields of a deb.
    pub(crate) fn read_fields(&self, deb: &Path, log: &mut OutputLog) -> Result<DebFields, InstallError> {
        let fields = ["Package", "Version", "Architecture", "Installed-Size"];
        let arguments = ["--field".into(), deb.into()].into_iter().chain(fields.map(OsString::from)).collect();
        let finished = self.run("dpkg-deb", arguments, QUERY_TIMEOUT, log)?;
        let field = |name: &str| {
            let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned());
            finished.output.lines().find_map(value).unwrap_or_default()
        };
        let kib: u64 = field("Installed-Size").parse().unwrap_or(0);
        let fields = DebFields {
            package: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            installed_bytes: kib.saturating_mul(1024),
        };
        if !finished.is_success() || fields.package.is_empty() {
            let detail = format!("dpkg cannot read the file as a deb: {}", finished.output.trim());
            return Err(InstallError::new(Reason::InstallFailed, detail));
        }
        Ok(fields)
    }

    /// Unpacks and configures a deb, even one that is older than the installed version.
    pub(crate) fn install(&self, deb: &Path, log: &mut OutputLog) -> Result<(), InstallError> {
        self.run_dpkg(&["--force-confdef", "--force-confold", "--force-downgrade", "--install"], deb.into(), log)
    }

    /// Removes a package in any state, with or without its settings.
    pub(crate) fn remove(
        &self,
        package: &str,
        architecture: &str,
        keep_settings: bool,
        log: &mut OutputLog,
    ) -> Result<(), InstallError> {
        let name = if architecture == "all" { package.to_owned() } else { format!("{package}:{architecture}") };
        let verb = if keep_settings { "--remove" } else { "--purge" };
        self.run_dpkg(&["--force-remove-reinstreq", verb], name.into(), log)
    }

    fn run_dpkg(&self, options: &[&str], argument: OsString, log: &mut OutputLog) -> Result<(), InstallError> {
        let mut root = OsString::from("--root=");
        root.push(&self.root);
        let mut arguments: Vec<OsString> = vec!["--no-pager".into()];
        if self.root != Path::new("/") {
            arguments.push(root);
        }
        arguments.extend(options.iter().map(OsString::from));
        arguments.push(argument);
        let finished = self.run("dpkg", arguments, INSTALL_TIMEOUT, log)?;
        if finished.is_success() { Ok(()) } else { Err(to_error(&finished)) }
    }
}

fn parse_state(line: &str) -> Option<PackageState> {
    let mut parts = line.split('|').map(str::to_owned);
    Some(PackageState { status: parts.next()?, version: parts.next()?, architecture: parts.next()? })
}

/// Maps dpkg's output to a reason. dpkg has one exit code for all errors, so the (untranslated) text decides.
fn to_error(finished: &FinishedCommand) -> InstallError {
    let has = |text: &str| finished.output.contains(text);
    if has("lock was locked by another process") || has("unable to lock") || has("is locked by another process") {
        return InstallError::new(Reason::PackageManagerBusy, "another program holds dpkg's lock");
    }
    if has("No space left on device") || has("Disk quota exceeded") {
        return InstallError::new(Reason::DiskFull, "dpkg ran out of disk space");
    }
    let missing = unmet_dependencies(&finished.output);
    let detail = if missing.is_empty() {
        let errors: Vec<_> = finished.output.lines().filter(|line| line.starts_with("dpkg: error")).collect();
        let said = errors.last().copied().or_else(|| finished.output.lines().last()).unwrap_or_default();
        format!("dpkg {}: {}", finished.describe_exit(), said.trim())
    } else {
        format!("it needs packages that are not installed: {}", missing.join("; "))
    };
    InstallError::new(Reason::InstallFailed, detail)
}

/// Returns each dependency from lines like `a depends on b (>= 2); however:`, with the next line, which explains the
/// problem.
fn unmet_dependencies(output: &str) -> Vec<String> {
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

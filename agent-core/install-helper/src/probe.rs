//! The publisher's commands that look at a release: the probe, and the command that detects it.

use crate::{
    command::{DPKG_LOCKED, ExitKind, ExternalCommand, FinishedCommand, OutputLog},
    error::InstallError,
    release::VerifiedRelease,
    storage::journal::UndoCause,
    sys,
};
use banyan_proto::{
    Reason,
    manifest::{CommandSpec, Kind},
};
use std::path::{Path, PathBuf};

/// The exit code of a shell whose command must not be executed.
const EXIT_NOT_EXECUTABLE: i32 = 126;

/// Verifies that the probe's program may be started from where it will be. `folder` is on the disk that the release is
/// installed to; it need not exist yet.
pub(crate) fn check_place(release: &VerifiedRelease, folder: &Path) -> Result<(), InstallError> {
    let Some(probe) = &release.spec.probe else { return Ok(()) };
    let command = ExternalCommand::from_manifest(probe, folder);
    let Some(program) = command.argv.first().map(Path::new).filter(|program| program.is_absolute()) else {
        return Ok(());
    };
    let Some(existing) = program.ancestors().find(|path| path.exists()) else { return Ok(()) };
    if !sys::forbids_programs(existing) {
        return Ok(());
    }
    let detail = format!(
        "the disk of {} is mounted with noexec, so the probe {} could not be started there; nothing was changed",
        existing.display(),
        probe.argv.first().map_or("", String::as_str)
    );
    Err(InstallError::new(Reason::NoExec, detail))
}

/// Runs the probe; without one, being in place is enough. `Err` explains why it failed.
pub(crate) fn run(release: &VerifiedRelease, folder: &Path, log: &mut OutputLog) -> Result<(), UndoCause> {
    let Some(probe) = &release.spec.probe else { return Ok(()) };
    let mut command = ExternalCommand::from_manifest(probe, folder);
    if release.spec.kind == Kind::Deb {
        command.environment.push(DPKG_LOCKED);
    }
    match command.run(log) {
        Ok(finished) if finished.is_success() => Ok(()),
        Ok(finished) if was_forbidden(&finished, folder) => {
            let detail =
                format!("the probe could not start a program: the disk of {} is mounted with noexec", folder.display());
            Err(UndoCause { reason: Reason::NoExec, detail })
        }
        Ok(finished) => Err(UndoCause::probe(format!("the probe {}", finished.describe_exit()))),
        Err(error) if error.reason() == Reason::NoExec => {
            Err(UndoCause { reason: Reason::NoExec, detail: format!("the probe could not be started: {error}") })
        }
        Err(error) => Err(UndoCause::probe(describe_start_error(probe, &error))),
    }
}

/// Whether a shell was the probe, and could not start what it was to start.
fn was_forbidden(finished: &FinishedCommand, folder: &Path) -> bool {
    finished.exit == ExitKind::Code(EXIT_NOT_EXECUTABLE) && sys::forbids_programs(folder)
}

/// Says why a probe could not be started; a missing permission to execute it is the most common cause.
fn describe_start_error(probe: &CommandSpec, error: &InstallError) -> String {
    let program = probe.argv.first().map_or("", String::as_str);
    match error {
        InstallError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => format!(
            "the probe {program} must not be executed (permission denied): make it executable (chmod +x) in the \
             package, or check that its disk allows programs (noexec)"
        ),
        InstallError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            format!("the probe {program}, or the interpreter that it names, does not exist on this machine")
        }
        InstallError::Io { source, .. } if sys::is_not_a_program(source) => format!(
            "the probe {program} is not a program for this machine, nor a script with a first line such as #!/bin/sh"
        ),
        _ => format!("the probe could not be started: {error}"),
    }
}

/// Returns the folder in which a detect command runs: the release's folder, or `elsewhere` when the command does not
/// name it. Returns `None` when the command names a folder that does not exist.
pub(crate) fn detect_folder(command: &CommandSpec, folder: Option<&Path>, elsewhere: &Path) -> Option<PathBuf> {
    let named = command.argv.iter().any(|word| word.contains("{dir}"));
    match folder {
        Some(folder) => Some(folder.to_owned()),
        None if named => None,
        None => Some(elsewhere.to_owned()),
    }
}

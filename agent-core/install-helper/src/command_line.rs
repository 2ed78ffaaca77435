//! The command line of the install helper, and the request that it names.
//!
//! The folders are set where the helper is allowed to run with privileges (for example in a sudo rule), never by the
//! request. A caller who could choose the folder could supply another trust record.

use crate::{protocol::HelperRequest, storage::layout::HelperFolders, sys};
use banyan_proto::{FormatError, arguments, format, join::JoinCode, limits, text};
use std::{
    ffi::OsString,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Maximum size of a request (bytes): manifest and metadata as JSON texts within JSON.
const REQUEST_BYTES: u64 = 2 * (limits::PACKAGE_HEAD_BYTES + limits::HTTP_BODY_BYTES) as u64;

/// Why the request cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    #[error(
        "usage: banyan-install-helper --data DIR [--root DIR] REQUEST < ARTIFACT (started by the agent)\n       \
         banyan-install-helper --data DIR --join-file FILE (run by an administrator before the agent's first start)"
    )]
    Usage,
    #[error("{option} is given twice: only the rule that allows this program to run may set it")]
    GivenTwice { option: &'static str },
    #[error("{option} {path:?} must be an absolute path, because the caller chooses the working folder")]
    Relative { option: &'static str, path: PathBuf },
    #[error(transparent)]
    NotUtf8(#[from] arguments::NotUtf8),
    #[error(transparent)]
    JoinCode(#[from] banyan_proto::join::JoinCodeError),
    #[error("could not read the {what} {}: {}", path.display(), text::system_error(source))]
    UnreadableFile { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is not a valid request: {source}")]
    InvalidRequest { path: PathBuf, source: FormatError },
}

/// The parsed command line.
#[derive(Default)]
pub(crate) struct Arguments {
    data: Option<OsString>,
    root: Option<OsString>,
    /// The join code itself. Other users can see it in the list of processes, so only scripts of earlier versions use it.
    join: Option<OsString>,
    join_file: Option<OsString>,
    request: Option<OsString>,
}

/// What to do, once the command line and the request have been read.
pub(crate) enum Task {
    /// A request of the agent.
    Request(HelperRequest),
    /// An administrator's setting: the root in this join code is the only one to trust.
    PinRoot(JoinCode),
}

impl Arguments {
    /// Parses the command line.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            let (option, place) = match argument.to_str() {
                Some("--data") => ("--data", &mut parsed.data),
                Some("--root") => ("--root", &mut parsed.root),
                Some("--join") => ("--join", &mut parsed.join),
                Some("--join-file") => ("--join-file", &mut parsed.join_file),
                _ if parsed.request.is_none() => {
                    parsed.request = Some(argument);
                    continue;
                }
                _ => return Err(UsageError::Usage),
            };
            if place.replace(arguments.next().ok_or(UsageError::Usage)?).is_some() {
                return Err(UsageError::GivenTwice { option });
            }
        }
        Ok(parsed)
    }
    /// Returns the folders, which must be absolute.
    pub(crate) fn folders(&self) -> Result<HelperFolders, UsageError> {
        let absolute = |option, path: &OsString| {
            let path = PathBuf::from(path);
            arguments::check_path(option, &path)?;
            if path.is_absolute() { Ok(path) } else { Err(UsageError::Relative { option, path }) }
        };
        let data = absolute("--data", self.data.as_ref().ok_or(UsageError::Usage)?)?;
        let root = self.root.as_ref().map_or_else(|| Ok("/".into()), |root| absolute("--root", root))?;
        Ok(HelperFolders { data, root })
    }
    /// Reads the request, or parses the join code.
    pub(crate) fn into_task(self) -> Result<Task, UsageError> {
        let path = match (self.request, self.join, self.join_file) {
            (None, Some(code), None) => return Ok(Task::PinRoot(code.to_str().ok_or(UsageError::Usage)?.parse()?)),
            (None, None, Some(path)) => {
                let code = read_file("join code", Path::new(&path), JoinCode::MAX_FILE_BYTES)?;
                return Ok(Task::PinRoot(JoinCode::parse_file(&code)?));
            }
            (Some(path), None, None) => PathBuf::from(path),
            _ => return Err(UsageError::Usage),
        };
        let bytes = read_file("request", &path, REQUEST_BYTES)?;
        let request = format::read(&bytes).map_err(|source| UsageError::InvalidRequest { path, source })?;
        Ok(Task::Request(request))
    }
}

fn read_file(what: &'static str, path: &Path, most: u64) -> Result<Vec<u8>, UsageError> {
    let mut bytes = Vec::new();
    sys::open_plain_file(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|source| UsageError::UnreadableFile { what, path: path.to_owned(), source })?;
    Ok(bytes)
}

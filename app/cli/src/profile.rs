//! The administrator's profile: the server's address, its CA, the admin token and the TUF root. The TOML file holds a
//! secret.

use crate::output::{Advice, Exit};
use banyan_proto::{admin::Profile, arguments};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// The `--profile` option of every command that talks to the server.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct ProfileArg {
    /// Administrator's profile, the server's admin.toml
    /// [default: profile.toml in your configuration folder]
    #[arg(long, value_name = "FILE", env = "BANYAN_PROFILE", global = true, help_heading = "Global options",
        value_parser = OsStringValueParser::new().try_map(arguments::into_path))]
    pub(crate) profile: Option<PathBuf>,
}

/// The reason why there is no usable profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// No profile was given, and the user's configuration folder has none.
    #[error("no profile was given and there is none at {}", .0.display())]
    Missing(PathBuf),
    /// No profile was given, and this user has no home folder, so no configuration folder.
    #[error("no profile was given and this user has no configuration folder")]
    NoConfigFolder,
    /// The configuration folder's path is not text.
    #[error(transparent)]
    NotUtf8(#[from] arguments::NotUtf8),
    /// The file cannot be read or written.
    #[error("cannot read or write the profile {}", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// The file is not a valid profile.
    #[error("{path} is not a valid profile: {why}", path = .0.display(), why = .1)]
    Malformed(PathBuf, String),
}

impl Advice for ProfileError {
    fn next_step(&self) -> String {
        match self {
            Self::Missing(path) => format!(
                "pass --profile with the server's admin.toml, or copy that file to {}; `banyan server` writes it at its first start",
                path.display()
            ),
            Self::NoConfigFolder | Self::NotUtf8(_) => {
                "pass --profile with the server's admin.toml, or set BANYAN_PROFILE".into()
            }
            Self::Io(_, error) => error.next_step(),
            Self::Malformed(..) => "copy admin.toml from the server's data folder again".into(),
        }
    }
    fn exit(&self) -> Exit {
        Exit::NoProfile
    }
}

/// Returns the path of the profile: the given one, or else profile.toml in the user's configuration folder, which may
/// not exist.
pub(crate) fn locate(given: &ProfileArg) -> Result<PathBuf, ProfileError> {
    if let Some(path) = given.profile.as_ref().filter(|_| is_given(given)) {
        return Ok(path.clone());
    }
    let folders = directories::ProjectDirs::from("", "", "banyan").ok_or(ProfileError::NoConfigFolder)?;
    let path = folders.config_dir().join("profile.toml");
    arguments::check_path("the path of the profile in your configuration folder", &path)?;
    Ok(path)
}

/// Returns whether a profile was given. An empty `BANYAN_PROFILE` counts as unset.
fn is_given(given: &ProfileArg) -> bool {
    given.profile.as_ref().is_some_and(|path| !path.as_os_str().is_empty())
}

/// Loads the profile. Returns it with its path.
pub(crate) fn load(given: &ProfileArg) -> Result<(PathBuf, Profile), ProfileError> {
    let path = locate(given)?;
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_given(given) => {
            return Err(ProfileError::Missing(path));
        }
        other => other.map_err(|error| ProfileError::Io(path.clone(), error))?,
    };
    match parse(&text) {
        Ok(profile) => Ok((path, profile)),
        Err(why) => Err(ProfileError::Malformed(path, why)),
    }
}

fn parse(text: &str) -> Result<Profile, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

/// Writes the profile atomically, readable by this user only. A reader sees either the previous or the new content.
pub(crate) fn save(path: &Path, profile: &Profile) -> Result<(), ProfileError> {
    let io = |error| ProfileError::Io(path.to_owned(), error);
    let text = toml::to_string(profile)
        .map_err(|error| ProfileError::Malformed(path.to_owned(), banyan_proto::text::error_chain(&error)))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // `NamedTempFile` creates the file with mode 600 on Unix.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::Digest;

    fn profile() -> Profile {
        Profile {
            servers: vec!["[::1]:7700".parse().unwrap()],
            ca: Digest([7; 32]),
            token: "secret".into(),
            root: None,
        }
    }

    #[test]
    fn a_profile_is_kept_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.toml");
        save(&path, &profile()).unwrap();
        let with_root = Profile { root: Some(Digest([9; 32])), ..profile() };
        save(&path, &with_root).unwrap();
        assert_eq!(load(&ProfileArg { profile: Some(path.clone()) }).unwrap(), (path.clone(), with_root));
        assert!(crate::platform::is_private(&path).unwrap());
    }

    #[test]
    fn a_wrong_file_is_named_and_its_secret_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, "servers = 7\ntoken = \"hush\"\n").unwrap();
        let error = load(&ProfileArg { profile: Some(path.clone()) }).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("p.toml") && !text.contains("hush"), "{text}");
        assert_eq!(error.exit(), Exit::NoProfile);
        let missing = load(&ProfileArg { profile: Some(folder.path().join("none")) }).unwrap_err();
        assert!(matches!(missing, ProfileError::Io(..)), "{missing}");
    }
}

//! The sessions of the users at this machine.
//!
//! They come from logind's files in `/run/systemd/sessions`, which only the system can write. A session counts
//! when it belongs to a person (`CLASS=user`), is at this machine (`REMOTE=0`) and is not closing. The files are read
//! again for every request, so a user who logs out loses the rights. On a system without logind only root and the
//! agent's user have access.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of logind's session files.
const LOGIND: &str = "/run/systemd/sessions";

/// The folder of session files.
#[derive(Debug, Clone)]
pub struct Sessions(PathBuf);

impl Default for Sessions {
    fn default() -> Self {
        Self(LOGIND.into())
    }
}

impl Sessions {
    /// Uses this folder instead of logind's.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
    /// Returns whether this user has a session at this machine.
    #[must_use]
    pub fn has_session(&self, user: u32) -> bool {
        self.any_session(|session| is_at_this_machine(session, user))
    }
    /// Returns whether this user has an active session at this machine, which means no other user has switched to
    /// theirs.
    #[must_use]
    pub fn is_active(&self, user: u32) -> bool {
        self.any_session(|session| is_at_this_machine(session, user) && field(session, "ACTIVE") == Some("1"))
    }
    fn any_session(&self, matches: impl Fn(&str) -> bool) -> bool {
        let Ok(entries) = fs::read_dir(&self.0) else { return false };
        entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| matches(&text))
    }
}

fn field<'a>(session: &'a str, key: &str) -> Option<&'a str> {
    let mut values = session.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == key);
    values.next().map(|(_, value)| value.trim())
}

fn is_at_this_machine(session: &str, user: u32) -> bool {
    let value = |key| field(session, key);
    value("UID").and_then(|uid| uid.parse().ok()) == Some(user)
        && value("CLASS") == Some("user")
        && value("REMOTE") == Some("0")
        && value("STATE").is_some_and(|state| state != "closing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str =
        "# Do not parse.\nUID=1000\nUSER=mia\nACTIVE=1\nSTATE=active\nREMOTE=0\nCLASS=user\nSEAT=seat0\n";

    #[test]
    fn a_session_is_active_until_another_user_switches_to_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let is_active = |session: &str, user| {
            fs::write(folder.path().join("c2"), session).unwrap();
            Sessions::in_folder(folder.path()).is_active(user)
        };
        assert!(is_active(SESSION, 1000));
        assert!(!is_active(SESSION, 1001));
        assert!(!is_active(&SESSION.replace("ACTIVE=1", "ACTIVE=0"), 1000));
        assert!(!is_active(&SESSION.replace("ACTIVE=1\n", ""), 1000));
        assert!(!is_active(&SESSION.replace("REMOTE=0", "REMOTE=1"), 1000));
    }
}

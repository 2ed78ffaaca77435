//! Access control of the local API: identifies callers and decides their rights. The default is no access.
//!
//! The kernel reports which user is at the other end of a socket. Root and the agent's own user may do everything. On
//! an agent that runs as a service, users with a session at this machine may see and choose. They may also install
//! from the catalogue, as far as the policy allows. All others have no access: service users, users logged in only
//! over the network, and any other user of a personal agent.

use crate::{sessions::Sessions, sys};
use banyan_proto::{
    local::{Mode, Right},
    schedule::{Policy, Who},
};
use interprocess::local_socket::tokio::Stream;

/// All rights.
pub const ALL_RIGHTS: [Right; 5] = [Right::See, Right::Choose, Right::Get, Right::Install, Right::Administer];

/// The user at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The user's number; `None` when the system does not report it.
    pub user: Option<u32>,
}

impl Caller {
    /// Asks the system for the user at the other end.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        Self { user: sys::peer_user(stream) }
    }

    /// Returns the caller's rights at an agent in this mode, under the administrator's policy.
    #[must_use]
    pub fn rights(self, mode: Mode, sessions: &Sessions, policy: &Policy) -> Vec<Right> {
        if !sys::CHECKS_CALLERS {
            return ALL_RIGHTS.to_vec();
        }
        match self.user {
            Some(user) if user == 0 || user == sys::own_user() => ALL_RIGHTS.to_vec(),
            Some(user) if mode == Mode::System && sessions.has_session(user) => {
                let mut rights = vec![Right::See, Right::Choose];
                rights.extend(is_everyone(policy.catalogue.who).then_some(Right::Get));
                rights.extend(is_everyone(policy.by_hand.who).then_some(Right::Install));
                rights
            }
            _ => Vec::new(),
        }
    }
}

fn is_everyone(who: Who) -> bool {
    match who {
        Who::Everyone => true,
        Who::Nobody | Who::Administrators => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use banyan_proto::schedule::{ByHand, Catalogue};
    use std::{fs, path::Path};

    const SESSION: &str =
        "# Do not parse.\nUID=1000\nUSER=mia\nACTIVE=1\nSTATE=active\nREMOTE=0\nCLASS=user\nSEAT=seat0\n";

    fn rights(session: &str, user: Option<u32>, mode: Mode) -> Vec<Right> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c2"), session).unwrap();
        Caller { user }.rights(mode, &Sessions::in_folder(folder.path()), &Policy::default())
    }

    #[test]
    fn a_user_with_a_session_may_see_choose_and_use_the_catalogue() {
        assert_eq!(rights(SESSION, Some(1000), Mode::System), [Right::See, Right::Choose, Right::Get]);
        let other_seat = SESSION.replace("STATE=active", "STATE=online");
        assert_eq!(rights(&other_seat, Some(1000), Mode::System).len(), 3, "switched to another user, still here");
    }

    #[test]
    fn a_user_with_a_session_may_install_package_files_only_if_the_policy_allows() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c2"), SESSION).unwrap();
        let sessions = Sessions::in_folder(folder.path());
        let may = |mode, who| {
            let policy = Policy { by_hand: ByHand { who, packages: vec![] }, ..Policy::default() };
            Caller { user: Some(1000) }.rights(mode, &sessions, &policy).contains(&Right::Install)
        };
        assert!(may(Mode::System, Who::Everyone));
        assert!(!may(Mode::System, Who::Administrators) && !may(Mode::System, Who::Nobody));
        assert!(!may(Mode::User, Who::Everyone), "another user's personal agent");
    }

    #[test]
    fn a_user_with_a_session_may_use_the_catalogue_unless_the_policy_forbids() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c2"), SESSION).unwrap();
        let sessions = Sessions::in_folder(folder.path());
        let may = |user, mode, who| {
            let policy = Policy { catalogue: Catalogue { who, packages: vec![] }, ..Policy::default() };
            Caller { user: Some(user) }.rights(mode, &sessions, &policy).contains(&Right::Get)
        };
        assert!(may(1000, Mode::System, Who::Everyone) && may(0, Mode::System, Who::Administrators));
        assert!(!may(1000, Mode::System, Who::Administrators) && !may(1000, Mode::System, Who::Nobody));
        assert!(!may(1000, Mode::User, Who::Everyone) && !may(1001, Mode::System, Who::Everyone));
    }

    #[test]
    fn root_and_the_agents_own_user_have_every_right() {
        for user in [0, sys::own_user()] {
            assert_eq!(rights("", Some(user), Mode::System), ALL_RIGHTS);
            assert_eq!(rights("", Some(user), Mode::User), ALL_RIGHTS);
        }
    }

    #[test]
    fn everyone_else_has_no_right() {
        for (session, user, mode) in [
            (SESSION.to_owned(), Some(1001), Mode::System),
            (SESSION.to_owned(), Some(100), Mode::System),
            (SESSION.to_owned(), None, Mode::System),
            // Another user's personal agent.
            (SESSION.to_owned(), Some(1000), Mode::User),
            (SESSION.replace("REMOTE=0", "REMOTE=1"), Some(1000), Mode::System),
            (SESSION.replace("REMOTE=0\n", ""), Some(1000), Mode::System),
            (SESSION.replace("CLASS=user", "CLASS=greeter"), Some(1000), Mode::System),
            (SESSION.replace("STATE=active", "STATE=closing"), Some(1000), Mode::System),
            (String::new(), Some(1000), Mode::System),
        ] {
            assert_eq!(rights(&session, user, mode), [], "{user:?} {mode:?} {session}");
        }
        let nowhere = Sessions::in_folder(Path::new("/nonexistent/sessions"));
        assert_eq!(Caller { user: Some(1000) }.rights(Mode::System, &nowhere, &Policy::default()), []);
    }
}

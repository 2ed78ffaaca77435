//! Desktop programs' reports whether a program fills the screen. Only a program in the user's session can see this, so
//! it reports it over the local API. The report counts while its connection lives and its user's session is in front.
//! It can do little harm: it only delays installs for a while.

use super::Look;
use crate::{orders::lock, people::People};
use banyan_local_api::{Caller, Sessions};
use banyan_proto::local::Mode;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

/// The reports of all desktop programs.
#[derive(Debug, Default)]
pub(crate) struct Screens {
    said: Mutex<Said>,
    /// The mode and sessions that decide whose reports count; until they are set, none do.
    who: OnceLock<(Mode, Sessions)>,
}

#[derive(Debug, Default)]
struct Said {
    next: u64,
    all: BTreeMap<u64, (Caller, Look<bool>)>,
}

/// One desktop program's report; it counts until this is dropped.
struct Word {
    people: Arc<People>,
    number: u64,
}

impl Drop for Word {
    fn drop(&mut self) {
        lock(&self.people.screens.said).all.remove(&self.number);
        self.people.replan();
    }
}

impl Screens {
    /// Sets whose reports count.
    pub(crate) fn know(&self, mode: Mode, sessions: Sessions) {
        drop(self.who.set((mode, sessions)));
    }
    /// Returns the result of the reports that count: full screen if any user in front reports it.
    pub(crate) fn look(&self) -> Option<Look<bool>> {
        let said = lock(&self.said);
        let counted = said.all.values().filter(|(caller, _)| self.counts(*caller)).map(|(_, look)| *look);
        counted.max_by_key(|look| (look.value, look.at.mono))
    }
    fn counts(&self, caller: Caller) -> bool {
        match self.who.get() {
            // A personal agent answers only its own user.
            Some((Mode::User, _)) => true,
            Some((Mode::System, sessions)) => caller.user.is_some_and(|user| sessions.is_active(user)),
            None => false,
        }
    }
}

/// Stores a desktop program's report; `None` means that it cannot tell. It counts until the returned value is dropped.
pub(crate) fn say(people: &Arc<People>, caller: Caller, full_screen: Option<bool>) -> Box<dyn Send + Sync> {
    let Some(value) = full_screen else { return Box::new(()) };
    let number = {
        let mut said = lock(&people.screens.said);
        said.next += 1;
        let number = said.next;
        said.all.insert(number, (caller, Look::told(value, people.now())));
        number
    };
    people.replan();
    Box::new(Word { people: Arc::clone(people), number })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::state::State;
    use std::fs;

    fn people(folder: &std::path::Path, mode: Mode) -> Arc<People> {
        let state = Arc::new(State::open(&folder.join("agent.redb")).unwrap());
        let people = Arc::new(People::open(state, std::path::PathBuf::new()).unwrap());
        people.screens.know(mode, Sessions::in_folder(&folder.join("sessions")));
        people
    }

    fn session(folder: &std::path::Path, user: u32, active: u8) {
        fs::create_dir_all(folder.join("sessions")).unwrap();
        let text = format!("UID={user}\nACTIVE={active}\nSTATE=online\nREMOTE=0\nCLASS=user\n");
        fs::write(folder.join(format!("sessions/{user}")), text).unwrap();
    }

    fn seen(people: &People) -> Option<bool> {
        people.screens.look().map(|look| look.value)
    }

    #[test]
    fn a_word_counts_as_long_as_it_is_kept_and_its_user_is_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let people = people(folder.path(), Mode::System);
        let (mia, tom) = (Caller { user: Some(1000) }, Caller { user: Some(1001) });
        session(folder.path(), 1000, 1);
        session(folder.path(), 1001, 0);
        let mias = say(&people, mia, Some(false));
        let toms = say(&people, tom, Some(true));
        assert_eq!(seen(&people), Some(false), "a session that is not in front does not count");
        session(folder.path(), 1000, 0);
        session(folder.path(), 1001, 1);
        assert_eq!(seen(&people), Some(true), "the other user's session is now in front");
        drop(toms);
        assert_eq!(seen(&people), None);
        session(folder.path(), 1000, 1);
        assert_eq!(seen(&people), Some(false));
        // A second program of the same user detects more than the first.
        let more = say(&people, mia, Some(true));
        assert_eq!(seen(&people), Some(true));
        drop(say(&people, mia, None));
        drop(more);
        assert_eq!(seen(&people), Some(false));
        drop(mias);
        assert_eq!(seen(&people), None);
    }

    #[test]
    fn at_a_persons_own_agent_that_person_counts() {
        let folder = tempfile::tempdir().unwrap();
        let people = people(folder.path(), Mode::User);
        let _word = say(&people, Caller { user: Some(1000) }, Some(true));
        assert_eq!(seen(&people), Some(true));
    }
}

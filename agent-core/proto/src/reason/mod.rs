//! The closed table of reasons: why a machine is not finished yet, or why a request was refused.
//!
//! The wire, the command line, the tray and the console all take code, fault and texts from here. Each entry has two
//! pairs of texts: one for administrators, and one for the person at the computer, which names no command.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Who has to act on a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// No one: the state is normal and ends without help.
    Nobody,
    /// The machine that reports the reason.
    Machine,
    /// Another machine in the tree.
    Peer,
    /// The network between the machines.
    Network,
    /// The server.
    Server,
    /// The publisher of the package.
    Publisher,
}

/// The texts of one entry for one kind of reader. Neither starts with a capital letter nor ends with a full stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonText {
    /// What is wrong.
    pub what: &'static str,
    /// What to do, or what Banyan does next.
    pub advice: &'static str,
}

const UNKNOWN: &str = "a reason that only a newer version of Banyan can name";
const UPDATE: &str = "update Banyan here to see the reason";

macro_rules! reasons {
    ($($name:ident = $code:literal, $fault:ident,
        admin: $what:literal => $advice:literal,
        user: $user_what:literal => $user_advice:literal;)*) => {
        /// One entry of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $what] #[serde(rename = $code)] $name,)*
            /// A code that this version does not know, because a newer version sent it.
            #[serde(other)] Unknown,
        }
        impl Reason {
            /// All entries.
            pub const ALL: &[Self] = &[$(Self::$name,)* Self::Unknown];
            /// Returns the stable code, as on the wire.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* Self::Unknown => "unknown" }
            }
            /// Returns whether the server is temporarily unable to answer, so that the same request can succeed later.
            #[must_use]
            pub fn is_temporary_at_server(self) -> bool {
                matches!(
                    self,
                    Self::InternalError | Self::ServerAway | Self::ServerDiskFull | Self::TooManyRequests | Self::Busy
                )
            }
            /// Returns the reason for a failed access to this machine's disk.
            #[must_use]
            pub fn of_disk_error(error: &std::io::Error) -> Self {
                use std::io::ErrorKind;
                match error.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
                    ErrorKind::FileTooLarge => Self::FileTooLarge,
                    ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
                    ErrorKind::NotFound | ErrorKind::NotADirectory => Self::PlaceMissing,
                    _ => Self::DiskFailed,
                }
            }
            /// Returns who has to act.
            #[must_use]
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* Self::Unknown => Fault::Nobody }
            }
            /// Returns the texts for administrators: command line, logs, console.
            #[must_use]
            pub fn for_admin(self) -> ReasonText {
                match self {
                    $(Self::$name => ReasonText { what: $what, advice: $advice },)*
                    Self::Unknown => ReasonText { what: UNKNOWN, advice: UPDATE },
                }
            }
            /// Returns the texts for the person at the computer: tray and window.
            #[must_use]
            pub fn for_user(self) -> ReasonText {
                match self {
                    $(Self::$name => ReasonText { what: $user_what, advice: $user_advice },)*
                    Self::Unknown => ReasonText { what: UNKNOWN, advice: UPDATE },
                }
            }
        }
    };
}

mod table;
pub use table::Reason;

impl Reason {
    /// Returns whether a machine that failed for this reason ran the release and found it not to work. Other failures
    /// are about the machine, or come before anything of the release runs.
    #[must_use]
    pub fn tells_against_release(self) -> bool {
        matches!(self, Self::InstallFailed | Self::ScriptTimeout | Self::ProbeFailed | Self::UndoFailed)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.for_admin().what, self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_stable_on_the_wire_and_forward_compatible() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for &reason in &Reason::ALL[..Reason::ALL.len() - 1] {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("{:?}", reason.code()));
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), reason);
        }
        assert_eq!(serde_json::from_str::<Reason>("\"from-the-future\"").unwrap(), Reason::Unknown);
    }

    #[test]
    fn texts_for_people_at_the_computer_name_no_command_and_no_word_of_the_trade() {
        for &reason in Reason::ALL {
            let ReasonText { what, advice } = reason.for_user();
            for text in [what, advice] {
                for word in ["`", "machine", "order", "probe", "enrol", "deploy", "sequence", "metadata", "certificate"]
                {
                    assert!(!text.contains(word), "{reason:?}: {text:?} contains {word:?}");
                }
            }
        }
    }

    /// Texts are printed one after the other, so the second must not repeat the first, and each stays readable.
    #[test]
    fn no_text_repeats_another_and_each_fits_on_a_line() {
        for &reason in Reason::ALL {
            for ReasonText { what, advice } in [reason.for_admin(), reason.for_user()] {
                assert_eq!(
                    crate::text::without_repeats(advice, &[what]),
                    advice,
                    "{reason:?}: {advice:?} repeats {what:?}"
                );
                assert_eq!(
                    crate::text::without_repeats(what, &[advice]),
                    what,
                    "{reason:?}: {what:?} repeats {advice:?}"
                );
                assert!(what.len() <= 120 && advice.len() <= 160, "{reason:?}: {what:?} {advice:?}");
                for text in [what, advice] {
                    assert!(!text.ends_with('.') && !text.contains("; and"), "{text:?}");
                    let first = text.chars().next().unwrap();
                    assert!(first.is_lowercase() || text.starts_with("Banyan"), "{text:?}");
                }
            }
        }
    }

    /// Administrators and people at the computer read different things, unless both can do the same about it.
    #[test]
    fn each_reader_has_texts_of_its_own() {
        let same = |reason: &&Reason| reason.for_admin() == reason.for_user();
        let shared: Vec<_> = Reason::ALL.iter().filter(same).collect();
        assert_eq!(shared, [&Reason::InstalledAlready, &Reason::Unknown]);
    }
}

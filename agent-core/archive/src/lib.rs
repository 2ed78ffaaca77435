//! Reads archives entry by entry and decides what may be unpacked. Writes nothing and needs no privileges.
//!
//! Two programs use it, so that they cannot disagree: the install helper before and while it unpacks, and the
//! publisher's tool before it signs.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`inspect`] | reads an archive from end to end and returns its tree |
//! | [`tree`] | validates entries in the archive's order and tracks the tree |
//! | [`names`] | which names and links are allowed |
//! | [`reader`] | the formats: tar with its dialects and compressions, zip |
//! | [`budget`] | how many bytes may be unpacked |
//! | [`refusal`] | why an archive is refused, and what to do |

pub mod budget;
#[cfg(any(test, feature = "fixture"))]
#[doc(hidden)]
#[expect(clippy::unwrap_used, reason = "for tests")]
pub mod fixture;
pub mod inspect;
pub mod names;
pub mod reader;
pub mod refusal;
pub mod tree;

pub use budget::max_unpacked_bytes;
pub use inspect::{Contents, Finding, Remarks, inspect};
pub use names::NameRules;
pub use reader::{Entry, EntryKind, read_entries};
pub use refusal::{ArchiveError, ArchiveRefusal};
pub use tree::{PlannedEntry, Tree};

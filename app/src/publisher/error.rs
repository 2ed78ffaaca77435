//! What can go wrong on the publisher's side. Each text says what to do about it.

use banyan_proto::manifest::ManifestError;
use banyan_server::repository::signing::SigningError;
use banyan_trust::TrustError;
use std::{io, path::PathBuf};

/// What can go wrong on the publisher's side.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublisherError {
    /// The disk, or the rights on a file.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// `read` or `write`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Keys are never overwritten: whoever loses root keys has to enrol every machine again.
    #[error("there are keys in {0} already; use them, or name another folder")]
    KeysThere(PathBuf),
    /// More signatures asked for than there are keys, or none.
    #[error("{threshold} of {keys} keys cannot sign; the threshold is 1 to the number of keys")]
    Threshold {
        /// Signatures asked for.
        threshold: u64,
        /// Keys of each role.
        keys: usize,
    },
    /// The file says nothing about public keys.
    #[error("{path} holds no public keys: {why}; `banyan keys generate` writes such a file (public.json)")]
    NotPublicKeys {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key may have one role only.
    #[error("the key {0} is in the root already")]
    KeyInUse(String),
    /// An id that fits no key, or several.
    #[error("{found} keys of the root begin with {wanted:?}; `banyan keys list` shows them, give more digits of one")]
    NotOneKey {
        /// What was given.
        wanted: String,
        /// How many fit.
        found: usize,
    },
    /// A role nobody could sign for.
    #[error("the {role} role would have no keys; add one first with `banyan keys add --role {role}`")]
    NoKeysLeft {
        /// `root` or `targets`.
        role: &'static str,
    },
    /// A role for which never enough could sign.
    #[error(
        "the {role} role would ask for {threshold} signatures and have {keys} keys; add a key first, or give a lower --threshold"
    )]
    TooFewKeys {
        /// `root` or `targets`.
        role: &'static str,
        /// Signatures asked for.
        threshold: u64,
        /// Keys that would be left.
        keys: usize,
    },
    /// Something else, a damaged one, or one that lies about its length.
    #[error("{path} is no package file that can be used: {why}")]
    NotAPackage {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Its publishers did not sign it, or others did.
    #[error("{path} is not believed: {source}")]
    PackageUntrusted {
        /// Which.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
    /// The request that was passed round is about another release.
    #[error("{0} is signed for another release than this; make the signing request anew from the same files")]
    OtherRelease(PathBuf),
    /// Something else was passed round.
    #[error("{path} is no signing request: {why}")]
    NotARequest {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It contradicts itself, or what is in force.
    #[error("the signing request is not in order: {0}; do not sign it, ask who made it")]
    OddRequest(String),
    /// The list does not have it.
    #[error("{0} is not on the publishers' list; `banyan releases` shows what is")]
    NotListed(String),
    /// The other implementation does not agree.
    #[error("machines would not trust it: {0}")]
    Untrusted(#[source] TrustError),
    /// A file in the key folder was changed.
    #[error("{path} cannot be used: {why}; put it back from your copy")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server shows something else than two Ed25519 keys.
    #[error("the server's online keys cannot go into a root: {0}")]
    OnlineKeys(String),
    /// The folder's root was made for another server.
    #[error(
        "{0} gives the snapshot and timestamp roles to another server's keys; use another key folder for this server"
    )]
    OtherServer(PathBuf),
    /// The root comes first.
    #[error(
        "there is no root in {0} yet; make it with `banyan keys init`, or copy root.json there from where it was made"
    )]
    NoRoot(PathBuf),
    /// What the server says is published is not what the keys in the folder signed.
    #[error("what the server says is published was not signed by the publishers of this key folder: {0}")]
    ServerUntrusted(#[source] TrustError),
    /// The server shows an older list than it did before.
    #[error(
        "the server shows version {shown} of the list of releases, but has accepted version {remembered} before; it was restored from an older backup, or is hiding releases: publishing now would withdraw them. If that is meant, remove published.json from the key folder"
    )]
    ServerBehind {
        /// What it shows.
        shown: u64,
        /// What it had accepted.
        remembered: u64,
    },
    /// The server shows an older root than it had before.
    #[error(
        "the server shows version {shown} of the root, but has accepted version {remembered} before; it was restored from an older backup, or is hiding that keys were replaced. `banyan keys send --key DIR` gives it the roots that it lacks"
    )]
    ServerBehindRoot {
        /// What it shows.
        shown: u64,
        /// What it had accepted.
        remembered: u64,
    },
    /// Too few keys, mostly.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// release.toml is not of its form.
    #[error("{path} is not a release description: {why}")]
    Description {
        /// Which.
        path: PathBuf,
        /// Where and what.
        why: String,
    },
    /// release.toml says it already, or has to.
    #[error("{option} does not go with a release description; write it into the file")]
    NotWithDescription {
        /// The option.
        option: &'static str,
    },
    /// Not derivable.
    #[error("cannot tell the {what} of {file} from it; give {option}")]
    CannotTell {
        /// Which property.
        what: &'static str,
        /// Which file.
        file: PathBuf,
        /// How to say it.
        option: &'static str,
    },
    /// dpkg-deb could not read it.
    #[error("{file} is no Debian package that dpkg-deb can read: {why}")]
    BadDeb {
        /// Which file.
        file: PathBuf,
        /// What it said.
        why: String,
    },
    /// A folder, a device, an empty or a gigantic file.
    #[error("{path} cannot be published: {why}")]
    NotAFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The description contradicts itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Sequences rise.
    #[error("{package} has been published up to sequence {highest}; a new release needs a higher one than {sequence}")]
    NotAboveLast {
        /// Package.
        package: String,
        /// Of the new release.
        sequence: u64,
        /// Highest published.
        highest: u64,
    },
    /// The machine's clock is unusable, or a text has no JSON form.
    #[error("the metadata cannot be written: {0}")]
    Unwritable(String),
}

//! The errors on the publisher's side. Most messages say what to do.

use banyan_archive::{ArchiveError, ArchiveRefusal};
use banyan_proto::manifest::ManifestError;
use banyan_trust::TrustError;
use banyan_tuf_signing::SigningError;
use std::{io, path::PathBuf};

/// An error on the publisher's side.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// A disk error or missing file permissions.
    #[error("cannot {doing} {path}: {source}")]
    Disk {
        /// `read` or `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Keys are never overwritten. Without the root keys every machine would have to enrol again.
    #[error("{0} already contains keys; use them, or choose another folder")]
    KeysExist(PathBuf),
    /// The threshold is 0, or higher than the number of keys.
    #[error("a threshold of {threshold} does not fit {keys} keys; choose one from 1 to the number of keys")]
    Threshold {
        /// The requested threshold.
        threshold: u64,
        /// The number of keys of each role.
        keys: usize,
    },
    /// The file is not a public.json.
    #[error("{path} does not contain public keys: {why}; pass a public.json that `banyan keys generate` wrote")]
    NotPublicKeys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A key may have one role only.
    #[error("the key {0} is already in the root")]
    KeyInUse(String),
    /// An id prefix that matches no key, or several.
    #[error(
        "{found} keys of the root have ids that begin with {wanted:?}; list them with `banyan keys list`, and pass more digits of one"
    )]
    NoUniqueKey {
        /// The given prefix.
        wanted: String,
        /// The number of matching keys.
        found: usize,
    },
    /// A role would have no keys.
    #[error("the {role} role would have no keys; add one first with `banyan keys add --role {role}`")]
    NoKeysLeft {
        /// `root` or `targets`.
        role: &'static str,
    },
    /// A role would have fewer keys than its threshold.
    #[error(
        "the {role} role would need {threshold} signatures but have only {keys} keys; add a key first, or pass a lower --threshold"
    )]
    TooFewKeys {
        /// `root` or `targets`.
        role: &'static str,
        /// The threshold.
        threshold: u64,
        /// The number of remaining keys.
        keys: usize,
    },
    /// Not a package file, a damaged one, or one of the wrong length.
    #[error("{path} is not a valid package file: {why}")]
    InvalidPackage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The package is not signed by its publisher, or by a different one than expected.
    #[error("{path} is not trusted: {source}")]
    PackageUntrusted {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: TrustError,
    },
    /// The signing request is about another release.
    #[error("{0} is for a different release; create the signing request again from these files")]
    RequestForOtherRelease(PathBuf),
    /// The file is not a signing request.
    #[error("{path} is not a valid signing request: {why}")]
    InvalidRequest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The signing request contradicts itself or the current state.
    #[error("the signing request is inconsistent: {0}; do not sign it, and ask its author")]
    InconsistentRequest(String),
    /// The release is not on the list.
    #[error("{0} is not on the publisher's list of releases; `banyan releases` shows what is")]
    ReleaseNotListed(String),
    /// Verification with the machines' own code failed.
    #[error("machines would not trust this: {0}")]
    Untrusted(#[source] TrustError),
    /// A file in the key folder is damaged.
    #[error("cannot use {path}: {why}; restore it from your copy")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server's online keys are not two Ed25519 keys.
    #[error("the server's online keys cannot be used in a root: {0}")]
    OnlineKeys(String),
    /// The folder's root was created for another server.
    #[error(
        "{0} gives the snapshot and timestamp roles to another server's keys; use another key folder for this server"
    )]
    RootOfOtherServer(PathBuf),
    /// The key folder has no root yet.
    #[error(
        "{0} contains no root yet; create it with `banyan keys init`, or copy root.json there from where it was created"
    )]
    NoRoot(PathBuf),
    /// The server's list or root is not signed with the keys in the folder.
    #[error("the server's list of releases is not signed by the publisher of this key folder: {0}")]
    ServerUntrusted(#[source] TrustError),
    /// The server shows an older list than the one it accepted before.
    #[error(
        "the server shows version {shown} of the list of releases, but accepted version {accepted} before; either it was restored from an older backup, or it is hiding releases. Publishing now would withdraw them. If that is intended, remove published.json from the key folder"
    )]
    ServerListOutdated {
        /// The version it shows.
        shown: u64,
        /// The version it accepted before.
        accepted: u64,
    },
    /// The server shows an older root than the one it accepted before.
    #[error(
        "the server shows version {shown} of the root, but accepted version {accepted} before; either it was restored from an older backup, or it is hiding that keys were replaced. Restore the missing roots with `banyan keys send --key DIR`"
    )]
    ServerRootOutdated {
        /// The version it shows.
        shown: u64,
        /// The version it accepted before.
        accepted: u64,
    },
    /// Signing failed; usually there are too few keys.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The release.toml is malformed.
    #[error("{path} is not a release description: {why}")]
    InvalidDescription {
        /// The file.
        path: PathBuf,
        /// The position and the problem.
        why: String,
    },
    /// The option contradicts the release.toml, which must contain the property itself.
    #[error("{option} cannot be used with a release description; set the property in the file")]
    OptionWithDescription {
        /// The option.
        option: &'static str,
    },
    /// A property cannot be derived.
    #[error("cannot work out the {what} of {file}; pass {option}")]
    CannotDerive {
        /// The property.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The option that sets it.
        option: &'static str,
    },
    /// Every machine would refuse the archive.
    #[error("machines would refuse {path}: {source}")]
    UnusableArchive {
        /// The file.
        path: PathBuf,
        /// The first problem, with what to do.
        source: ArchiveError,
    },
    /// Name or option and the programs in the archive disagree.
    #[error(
        "{says} says that {file} is for {platform}, but {entry:?} in it is a program for {found}; correct the platform, or pass --platform any if it runs anywhere"
    )]
    PlatformContradiction {
        /// The file.
        file: PathBuf,
        /// What names the platform.
        says: &'static str,
        /// The platform, or a part of it.
        platform: String,
        /// A program in the archive.
        entry: String,
        /// The platform of that program.
        found: String,
    },
    /// The platform cannot be derived.
    #[error("cannot work out the platform of {file}: {why}; pass --platform, such as linux-x86_64, or any")]
    UnclearPlatform {
        /// The file.
        file: PathBuf,
        /// What is known.
        why: String,
    },
    /// A platform under another name, which no machine has.
    #[error("{given:?} is not the name of a platform; machines call it {usual}")]
    PlatformName {
        /// The name.
        given: String,
        /// The usual name.
        usual: String,
    },
    /// A platform that no machine has.
    #[error(
        "{given:?} is not the name of a platform; write SYSTEM-PROCESSOR, such as linux-x86_64 or windows-aarch64, or any"
    )]
    UnknownPlatform {
        /// The name.
        given: String,
    },
    /// The probe would fail on every machine.
    #[error("the probe would fail on every machine: its program {program:?} {why} ({file})")]
    ProbeProgram {
        /// The file.
        file: PathBuf,
        /// The program.
        program: String,
        /// What is wrong with it.
        why: String,
    },
    /// dpkg would refuse the Debian package on every machine.
    #[error("machines would refuse {path}: {source}")]
    UnusableDeb {
        /// The file.
        path: PathBuf,
        /// The first problem.
        source: ArchiveError,
    },
    /// Release and Debian package disagree.
    #[error(
        "the {what} of the release is {said}, but {file} says {found}, and machines would refuse it; leave the {what} out, or correct it"
    )]
    DebContradiction {
        /// The file.
        file: PathBuf,
        /// The property.
        what: &'static str,
        /// What the release says.
        said: String,
        /// What the package says.
        found: String,
    },
    /// A folder, a device, an empty file or one that is too large.
    #[error("{path} cannot be published: {why}")]
    UnsuitableFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A new release needs a sequence above all published ones.
    #[error("sequence {sequence} of {package} is too low; the highest published one is {highest}")]
    SequenceTooLow {
        /// The package name.
        package: String,
        /// The sequence of the new release.
        sequence: u64,
        /// The highest published sequence.
        highest: u64,
    },
    /// The computer's clock is unusable, or a value cannot be written as JSON.
    #[error("the metadata cannot be written: {0}")]
    Unwritable(String),
}

impl PublisherError {
    /// Whether the file is of no format that is known here.
    pub(crate) fn is_unknown_format(&self) -> bool {
        matches!(self, Self::UnusableArchive { source: ArchiveError::Refused(ArchiveRefusal::UnknownFormat), .. })
    }
}

//! The closed table of reasons: why a machine is not finished yet, why something was refused. The wire, the command
//! line, the tray and the console all take code, fault and words from here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose fault it is, so that the right person looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nobody's: it is as it should be and will go on.
    Nobody,
    /// The machine that reports it.
    Machine,
    /// Another machine in the tree.
    Peer,
    /// The network between them.
    Network,
    /// The server.
    Server,
    /// The publisher of the package.
    Publisher,
}

macro_rules! reasons {
    ($($name:ident = $code:literal, $fault:ident, $what:literal, $next:literal;)*) => {
        /// One entry of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $what] #[serde(rename = $code)] $name,)*
            /// A code that this version does not know: it comes from a newer one.
            #[serde(other)] Unknown,
        }
        impl Reason {
            /// All entries.
            pub const ALL: &[Self] = &[$(Self::$name,)* Self::Unknown];
            /// The stable code, as on the wire and for looking it up.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* Self::Unknown => "unknown" }
            }
            /// Whose fault it is.
            #[must_use]
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* Self::Unknown => Fault::Nobody }
            }
            /// What is wrong, for people.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $what,)* Self::Unknown => "something that only a newer version can name" }
            }
            /// What to do, or what happens next by itself.
            #[must_use]
            pub fn next(self) -> &'static str {
                match self { $(Self::$name => $next,)* Self::Unknown => "update Banyan here to see the reason" }
            }
        }
    };
}

reasons! {
    Done = "done", Nobody, "everything that was wanted has been sent", "nothing: this is how a connection ends";
    Unreachable = "unreachable", Network, "the machine does not answer at any of its addresses", "it is stepped over and served as soon as it reports again";
    NotNow = "not-now", Nobody, "the machine may not transfer at this time", "it goes on when its transfer window opens";
    MayNotForward = "may-not-forward", Nobody, "the machine receives but does not pass on at this time", "the others are served round it";
    Busy = "busy", Nobody, "the machine serves as many others as its limit allows", "the surplus is served by others";
    Revoked = "revoked", Machine, "the machine's certificate has been revoked", "enrol the machine again if that was a mistake";
    CertificateExpired = "certificate-expired", Machine, "the machine's certificate has expired", "it is renewed by itself for 400 days; after that enrol the machine again with a new join code";
    Cloned = "cloned", Machine, "two machines use this identity at once: a disk was cloned", "enrol one of the two again with an empty data folder, then run `banyan machines readmit`";
    Retired = "retired", Nobody, "the machine was enrolled anew and has another identity now", "nothing: the new identity takes its place";
    WrongIdentity = "wrong-identity", Peer, "another machine than the expected one answers at this address", "check whether the address was given to another machine";
    NotAncestor = "not-ancestor", Peer, "the sender stands nowhere above this machine in the tree", "the sender is named in the report; look at it";
    ListForged = "list-forged", Peer, "the addressee list was trimmed, grown or reshaped on the way", "the sender is named in the report; look at it";
    NotAddressed = "not-addressed", Peer, "the offer is not for this machine", "the sender is named in the report; look at it";
    OrderForged = "order-forged", Peer, "the order is not signed by the server", "the sender is named in the report; look at it";
    OrderExpired = "order-expired", Nobody, "the order's time is over", "deploy again if it is still wanted";
    OrderSuperseded = "order-superseded", Nobody, "a newer order of this package has come", "nothing: the newer one goes ahead";
    EpochBack = "epoch-back", Server, "the order comes from before the server was restored from a backup", "run `banyan-server raise-epoch` on a server that was restored, then deploy again";
    MetadataExpired = "metadata-expired", Server, "the signed metadata is too old to be believed", "look whether the server's timestamp signing works and the publisher's keys need renewing";
    MetadataRolledBack = "metadata-rolled-back", Peer, "older signed metadata than this machine has already seen", "look at the sender, then at the server's metadata store";
    MetadataForged = "metadata-forged", Peer, "the metadata is not signed by the publishers this machine trusts", "the sender is named in the report; look at it";
    NotPublished = "not-published", Publisher, "no trusted publisher has signed this release", "publish it with the publisher's key";
    Withdrawn = "withdrawn", Publisher, "the publishers have withdrawn this release", "deploy another release of the package";
    BelowFloor = "below-floor", Publisher, "the release is older than the publisher allows on this machine", "publish a release with a higher sequence";
    WrongPlatform = "wrong-platform", Publisher, "the release has no file for this machine's platform", "publish one for this platform or take the machine off the list";
    BadChunk = "bad-chunk", Peer, "bytes arrived that are not the publisher's", "they are fetched elsewhere; the sender is named in the report";
    BadArtifact = "bad-artifact", Machine, "the file on this disk is no longer what arrived", "it is fetched again; check the disk";
    CodeWrong = "code-wrong", Peer, "the authentication code is not right for this machine and this way", "the way of the offer is in the report; look at the machines on it";
    ProtocolBroken = "protocol-broken", Peer, "the other side does not speak the protocol correctly", "compare the versions on both machines";
    NoSource = "no-source", Network, "nobody who holds the content can be reached", "it is tried again; check the links to the server";
    ServerAway = "server-away", Network, "the server cannot be reached", "content keeps spreading; authentication waits for the server";
    WaitsForGoAhead = "waits-for-go-ahead", Nobody, "the server has not given leave to install", "resume or approve the deployment";
    Halted = "halted", Nobody, "the deployment was halted", "resume it, or leave it";
    NotConsented = "not-consented", Nobody, "nobody at this computer has said that they trust whoever signed it", "compare the key that is shown with the one its publishers tell you; if it is theirs, say that you trust them";
    OtherSigner = "other-signer", Publisher, "a package of this name is here from other publishers", "get it from those who signed the one that is here, or stop trusting them first";
    NeedsAdministrator = "needs-administrator", Nobody, "a package of this kind can only be installed by an administrator of the computer", "ask its publishers for an archive of it, or an administrator to install it";
    DiskFull = "disk-full", Machine, "there is not enough free disk space", "free some space; it goes on by itself";
    DiskFailed = "disk-failed", Machine, "reading or writing the disk failed", "check the disk and its file system";
    PackageManagerBusy = "package-manager-busy", Nobody, "another program is using the package manager", "it is tried again when that has ended";
    ArchiveUnsafe = "archive-unsafe", Publisher, "the archive has an entry that must not be unpacked", "make the archive without it and publish again";
    InstallFailed = "install-failed", Publisher, "the installer reported a failure", "read its output in the machine's report";
    ProbeFailed = "probe-failed", Publisher, "the new version does not run; the old one is back", "try the release on one machine and read the probe's output";
    UndoFailed = "undo-failed", Machine, "the new version does not run and the old one could not be restored", "repair the package on this machine by hand";
    CannotRestore = "cannot-restore", Publisher, "there is no old version that could be restored", "keep an installer of the old version, or deploy without undo";
    NotAPackage = "not-a-package", Publisher, "the file is no package file that this version of Banyan knows", "get it again from whoever made it (`banyan package build`)";
    BadRequest = "bad-request", Peer, "the request makes no sense to the server", "read the detail; compare the versions on both sides";
    NotFound = "not-found", Nobody, "the server has nothing of that name", "look at the list of what there is";
    NotOffered = "not-offered", Nobody, "the administrator does not offer this for self-service", "look at what is offered now, or ask the administrator";
    UnderWay = "under-way", Nobody, "it is on its way to this machine already", "wait until it is installed";
    InstalledAlready = "installed-already", Nobody, "this version, or a newer one, is installed already", "there is nothing to do";
    NotAllowed = "not-allowed", Peer, "the caller has not shown that it may do this", "check the profile's token, or enrol the machine";
    NoRoot = "no-root", Publisher, "no publisher's root of trust has been registered", "run `banyan keys init` first";
    JoinRefused = "join-refused", Peer, "the join code is unknown, used up or expired", "make a new one with `banyan tokens create`";
    InternalError = "internal-error", Machine, "something went wrong inside Banyan", "report it with the log of this machine";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.words(), self.code())
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
}

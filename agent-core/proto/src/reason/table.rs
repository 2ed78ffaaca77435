//! The entries of the table of reasons: code, who has to act, and the texts for both kinds of reader.

use super::{Fault, ReasonText, UNKNOWN, UPDATE};
use serde::{Deserialize, Serialize};

reasons! {
    Done = "done", Nobody,
        admin: "everything requested has been sent"
            => "nothing to do: this is how a connection ends",
        user: "the transfer is complete"
            => "nothing to do";
    Unreachable = "unreachable", Network,
        admin: "the machine cannot be reached at any known address"
            => "it is skipped for now and catches up when it reconnects",
        user: "this computer can't be reached by the others"
            => "Banyan will continue once the network is back";
    NotNow = "not-now", Nobody,
        admin: "the machine may not transfer at this time"
            => "the transfer continues when the machine's transfer window opens",
        user: "downloads aren't allowed right now"
            => "the download continues when your hours allow it";
    MayNotForward = "may-not-forward", Nobody,
        admin: "the machine is not sharing at the moment"
            => "other machines receive it by another route",
        user: "this computer isn't sharing at the moment"
            => "nothing to do: other computers download elsewhere";
    Busy = "busy", Nobody,
        admin: "the machine is already sharing with as many others as it may"
            => "the rest download elsewhere",
        user: "other requests are being handled first"
            => "try again in a moment";
    Revoked = "revoked", Machine,
        admin: "the machine's certificate has been revoked"
            => "enrol the machine again if that was a mistake",
        user: "this computer's registration has been withdrawn"
            => "ask your administrator to register this computer again";
    CertificateExpired = "certificate-expired", Machine,
        admin: "the machine's certificate has expired"
            => "renews automatically for up to 400 days after expiry; after that, enrol again with a new join code",
        user: "this computer's registration has expired"
            => "keep this computer connected to renew it; after more than 400 days, ask your administrator for a new join code";
    ClockWrong = "clock-wrong", Machine,
        admin: "the machine's clock and the other side's are far apart, so one of them is wrong"
            => "set both clocks by the same time server (for example `timedatectl set-ntp true`); nothing else is needed afterwards",
        user: "this computer's date or time is wrong, or the server's is"
            => "set this computer's date and time; if they are right, tell your administrator";
    RevocationListExpired = "revocation-list-expired", Machine,
        admin: "a revocation list has expired: its machine has not reached the server for a day, or its clock is wrong"
            => "check that machine's connection to the server and its clock; it then fetches a new list automatically",
        user: "this computer has not reached the server for a day"
            => "check this computer's network and its date and time";
    Cloned = "cloned", Machine,
        admin: "two machines use this identity at once: a disk was cloned"
            => "enrol one of the two again with an empty data folder, then run `banyan machines readmit`",
        user: "another computer uses the same registration as this one"
            => "ask your administrator to register one of the two again";
    Retired = "retired", Nobody,
        admin: "the machine has enrolled again and has a new identity"
            => "nothing to do: the new identity replaces this one",
        user: "this computer has a newer registration"
            => "nothing to do";
    WrongIdentity = "wrong-identity", Peer,
        admin: "a different machine than expected answers at this address"
            => "check whether the address now belongs to another machine",
        user: "a different computer answered than expected"
            => "Banyan will try another computer";
    OtherServer = "other-server", Machine,
        admin: "this machine belongs to another server"
            => "to move it, stop the agent and start it with an empty --data folder and a join code of the new server",
        user: "this computer already belongs to another server"
            => "ask your administrator to register this computer again";
    NotAncestor = "not-ancestor", Peer,
        admin: "the sender is not upstream of this machine in the tree"
            => "check the sender: `banyan doctor` names it",
        user: "another computer sent something it may not send"
            => "Banyan rejected it; your administrator can see this";
    ListForged = "list-forged", Peer,
        admin: "the list of target machines was altered in transit"
            => "check the sender: `banyan doctor` names it",
        user: "another computer sent altered data"
            => "Banyan rejected it; your administrator can see this";
    NotAddressed = "not-addressed", Peer,
        admin: "the offer is not meant for this machine"
            => "check the sender: `banyan doctor` names it",
        user: "another computer sent an update meant for someone else"
            => "Banyan rejected it; your administrator can see this";
    OrderForged = "order-forged", Peer,
        admin: "the order is not signed by the server"
            => "check the sender: `banyan doctor` names it",
        user: "another computer sent an update your organisation did not approve"
            => "Banyan rejected it; your administrator can see this";
    OrderExpired = "order-expired", Nobody,
        admin: "the order has expired"
            => "deploy again if still needed",
        user: "this update is no longer scheduled"
            => "nothing to do: your administrator can schedule it again";
    OrderSuperseded = "order-superseded", Nobody,
        admin: "a newer order for this package has replaced this one"
            => "nothing to do: the newer order takes its place",
        user: "a newer update has replaced this one"
            => "nothing to do: Banyan will install the newer one";
    EpochBack = "epoch-back", Server,
        admin: "the order was made before the server was restored from a backup"
            => "on a restored server, run `banyan-server raise-epoch`, then deploy again",
        user: "the server was restored from a backup"
            => "your administrator needs to schedule this update again";
    MetadataExpired = "metadata-expired", Server,
        admin: "the signed metadata has expired"
            => "check the server's timestamp signing and whether the publisher's keys need renewing",
        user: "the publisher's signature has expired"
            => "your administrator needs to renew it";
    MetadataRolledBack = "metadata-rolled-back", Peer,
        admin: "the signed metadata is older than what this machine has already seen"
            => "check the sender, then the server's metadata store",
        user: "outdated publisher information arrived"
            => "Banyan rejected it; your administrator can see this";
    MetadataForged = "metadata-forged", Peer,
        admin: "the metadata is not signed by the publishers this machine trusts"
            => "check the sender: `banyan doctor` names it",
        user: "this wasn't signed by a publisher this computer trusts"
            => "Banyan rejected it; get it again from its publisher";
    NotPublished = "not-published", Publisher,
        admin: "no trusted publisher has signed this release"
            => "publish it with `banyan publish`, with the publisher's keys",
        user: "no trusted publisher has signed this version"
            => "ask your administrator or the publisher for a signed version";
    Withdrawn = "withdrawn", Publisher,
        admin: "the publisher has withdrawn this release"
            => "deploy another release of the package",
        user: "the publisher has withdrawn this version"
            => "nothing to do: wait for a newer version";
    BelowFloor = "below-floor", Publisher,
        admin: "the release's sequence is below the minimum this machine accepts"
            => "publish a release with a higher sequence",
        user: "this version is older than the publisher allows"
            => "get a newer version";
    WrongPlatform = "wrong-platform", Publisher,
        admin: "the release has no file for this machine's platform"
            => "publish a file for this platform, or leave the machine out of the deployment",
        user: "this version isn't made for this type of computer"
            => "ask the publisher for a version that fits this computer";
    BadChunk = "bad-chunk", Peer,
        admin: "received data does not match the publisher's signature"
            => "downloading it again from another machine; check the sender: `banyan doctor` names it",
        user: "some of the data arrived damaged"
            => "Banyan will download it again from another computer";
    BadArtifact = "bad-artifact", Machine,
        admin: "the file on this disk no longer matches what was received"
            => "downloading it again; check the disk",
        user: "the downloaded file was damaged on this computer's disk"
            => "Banyan will download it again; if this happens often, have the disk checked";
    CodeWrong = "code-wrong", Peer,
        admin: "the authentication code does not match this machine and the route of its offer"
            => "check the machines between the server and this one",
        user: "this download couldn't be confirmed with the server"
            => "Banyan will try again; your administrator can see this";
    ProtocolBroken = "protocol-broken", Peer,
        admin: "the other side does not follow the protocol"
            => "compare the Banyan versions on both machines",
        user: "another computer sent something Banyan can't read"
            => "Banyan will try another computer";
    NotUnderstood = "not-understood", Nobody,
        admin: "it requires something that this version of Banyan does not understand"
            => "update Banyan on the machine that refused it",
        user: "this needs a newer version of Banyan"
            => "ask your administrator to update Banyan on this computer";
    NoCommonVersion = "no-common-version", Nobody,
        admin: "the two programs have no version of the protocol in common"
            => "update Banyan on the older of the two machines",
        user: "another computer runs a different version of Banyan"
            => "Banyan will try another computer";
    NoSource = "no-source", Network,
        admin: "no machine that has the content can be reached"
            => "Banyan will try again; check the links to the server",
        user: "no computer that has this update can be reached"
            => "Banyan will try again; check this computer's network";
    ServerAway = "server-away", Network,
        admin: "the server cannot be reached"
            => "content keeps spreading; authentication waits for the server",
        user: "the server can't be reached"
            => "Banyan will continue once the server is back";
    WaitsForPermit = "waits-for-go-ahead", Nobody,
        admin: "waiting for permission from the server to install"
            => "run `banyan status` to see whether the deployment is halted or has ended; `banyan resume` continues a halted one",
        user: "waiting for permission to install"
            => "nothing to do: Banyan will install it once it may";
    Halted = "halted", Nobody,
        admin: "the deployment was halted"
            => "run `banyan resume` to continue it",
        user: "your administrator has paused this update"
            => "nothing to do: it continues when your administrator resumes it";
    Cancelled = "cancelled", Nobody,
        admin: "the deployment was cancelled before this machine had begun to install"
            => "nothing to do; if the release is still wanted, run `banyan deploy` again",
        user: "your administrator has cancelled this update"
            => "nothing to do";
    WaitsForProof = "waits-for-proof", Nobody,
        admin: "other machines install this release first, until it has proved itself there"
            => "nothing to do: every machine where it passes its check lets further machines install it",
        user: "a few other computers install this update first"
            => "nothing to do: Banyan will install it once it works there";
    WaitsForRing = "waits-for-ring", Nobody,
        admin: "the machine belongs to a later ring of the deployment"
            => "nothing to do: it installs when the rings before have passed their gate; `banyan status` shows what they lack",
        user: "other computers install this update first"
            => "nothing to do: Banyan will install it here when it has worked there";
    FailedElsewhere = "failed-elsewhere", Publisher,
        admin: "the release has failed on another machine, so no further machine installs it"
            => "look at the failed machine, then deploy a corrected release; to go on with this one, use `banyan resume` or `banyan deploy --spread cut-through`",
        user: "this update didn't work on another computer"
            => "nothing to do: your administrator decides whether it continues";
    NeedsOneStripe = "needs-one-stripe", Nobody,
        admin: "with this spread, machines pass the content on only when they have all of it, so it must travel in one stripe"
            => "leave out `--stripes`, or use `banyan deploy --spread cut-through` or `--spread proven`",
        user: "an update can't be sent in this way"
            => "ask your administrator";
    NotConsented = "not-consented", Nobody,
        admin: "this publisher is not trusted on this computer yet"
            => "compare the key shown with the one the publisher tells you; if they match, trust the publisher",
        user: "this publisher isn't trusted on this computer yet"
            => "compare the key shown with the one the publisher tells you; if they match, trust the publisher";
    OtherSigner = "other-signer", Publisher,
        admin: "another publisher's package with this name is already installed"
            => "get the package from the publisher of the installed one, or stop trusting that publisher first",
        user: "another publisher's package with this name is already installed"
            => "get it from the publisher of the installed one, or stop trusting that publisher first";
    OtherKind = "other-kind", Publisher,
        admin: "a package with this name is already there as another kind of file"
            => "publish it under another name, or remove the one on the machine, then run `banyan retry`",
        user: "this software is already installed here in another form"
            => "ask the publisher or your administrator for help";
    NeedsAdministrator = "needs-administrator", Nobody,
        admin: "only an administrator of the computer can install packages of this kind"
            => "ask the publisher for an archive instead, or install it as an administrator",
        user: "only an administrator of this computer can install packages of this kind"
            => "ask the publisher for an archive instead, or ask an administrator of this computer";
    DiskFull = "disk-full", Machine,
        admin: "there is not enough room on the disk, for bytes or for files"
            => "free some space, or delete files if it has no free inodes; the update then continues automatically",
        user: "there isn't enough room on the disk"
            => "delete something that you don't need; the update then continues automatically";
    FileTooLarge = "file-too-large", Machine,
        admin: "the system allows no file of this size there"
            => "raise the limit (`ulimit -f`, LimitFSIZE) or use another file system; the update then continues automatically",
        user: "this computer allows no file of this size"
            => "ask your administrator for help";
    DiskFailed = "disk-failed", Machine,
        admin: "reading or writing the disk failed"
            => "check the disk and its file system",
        user: "the disk couldn't be read or written"
            => "have this computer's disk checked";
    ReadOnly = "read-only", Machine,
        admin: "a place that Banyan writes to is read-only"
            => "mount it writable, or choose another folder; the update then continues automatically",
        user: "a folder that Banyan needs can't be written to"
            => "have this computer's disk checked";
    NoExec = "no-exec", Machine,
        admin: "programs may not be started from the place that the software was installed to"
            => "mount that place without `noexec`, or choose another install root; the update then continues automatically",
        user: "this computer doesn't allow programs to run from where they are installed"
            => "ask your administrator for help";
    PlaceMissing = "place-missing", Machine,
        admin: "a folder that Banyan needs is missing"
            => "mount or create it again; the update then continues automatically",
        user: "a folder that Banyan needs is missing"
            => "connect the drive that it is on, or ask your administrator";
    PlaceTaken = "place-taken", Machine,
        admin: "something that Banyan did not create is in the place of the software"
            => "move it away; the update then continues automatically",
        user: "something else is in the place of this software"
            => "ask your administrator to move it away";
    ServerDiskFull = "server-disk-full", Server,
        admin: "the server's disk is full"
            => "make room on the server's disk; it then continues automatically",
        user: "the server has no room left"
            => "nothing to do: Banyan will continue once your administrator has made room";
    ServerFileDamaged = "server-file-damaged", Server,
        admin: "the server's copy of the file is damaged"
            => "publish the release again from the same file, and check the server's disk",
        user: "the server can't send this update at the moment"
            => "nothing to do: your administrator can see this";
    ChangedMeanwhile = "changed-meanwhile", Nobody,
        admin: "somebody else has changed this since you read it"
            => "look at what is set now, then repeat your change",
        user: "this was changed by somebody else meanwhile"
            => "try again";
    TooManyRequests = "too-many-requests", Machine,
        admin: "the machine sends more requests than the server takes from one machine"
            => "wait: the machine tries again more slowly; if this continues, check what runs on it",
        user: "this computer has asked the server too often"
            => "nothing to do: Banyan will try again";
    PackageManagerBusy = "package-manager-busy", Nobody,
        admin: "another program is using the package manager"
            => "Banyan will try again when it has finished",
        user: "another program is installing software"
            => "Banyan will try again when it has finished";
    PackageManagerMisconfigured = "package-manager-misconfigured", Machine,
        admin: "dpkg's configuration on this machine prevents every installation"
            => "correct what the detail names (in /etc/dpkg); the update then continues automatically",
        user: "this computer's settings prevent software from being installed"
            => "ask your administrator for help";
    ArchiveUnsafe = "archive-unsafe", Publisher,
        admin: "the archive has an entry that must not be unpacked"
            => "make the archive without that entry and publish again",
        user: "the package contains a file that isn't safe to unpack"
            => "ask the publisher for a corrected package";
    PackageHeld = "package-held", Nobody,
        admin: "the package is on hold on this machine"
            => "release the hold with `apt-mark unhold` on the machine, or deploy again with --allow-held",
        user: "this software is set to stay at its present version on this computer"
            => "nothing to do: your administrator can change this";
    DependencyMissing = "dependency-missing", Machine,
        admin: "the package needs other packages that are not installed on this machine"
            => "deploy them, or install them on the machine; then run `banyan retry`",
        user: "other software that this needs is missing on this computer"
            => "ask your administrator to install it";
    BreaksOthers = "breaks-others", Publisher,
        admin: "installing the package would break other packages on this machine"
            => "deploy fitting versions of the others first; install debs that need exact versions of each other in one run (`apt-get install ./A.deb ./B.deb`)",
        user: "this version doesn't fit other software on this computer"
            => "nothing to do: the present version stays; your administrator can see this";
    PackageConflict = "package-conflict", Publisher,
        admin: "the package conflicts with another package on this machine"
            => "install debs that belong together in one run (`apt-get install ./A.deb ./B.deb`); remove the other one only if nothing needs it",
        user: "this can't be installed beside other software on this computer"
            => "ask your administrator which of the two to keep";
    PackagesUnfinished = "packages-unfinished", Machine,
        admin: "an earlier run of dpkg on this machine was interrupted"
            => "run `dpkg --configure -a` on the machine, then deploy again",
        user: "an earlier installation on this computer was interrupted"
            => "ask your administrator to finish it";
    PackageDatabaseDamaged = "package-database-damaged", Machine,
        admin: "dpkg's own files on this machine are damaged"
            => "repair them on the machine (dpkg keeps status-old beside status, and copies in /var/backups), then deploy again",
        user: "the list of installed software on this computer is damaged"
            => "ask your administrator to repair it";
    NewerInstalled = "newer-installed", Nobody,
        admin: "a newer version that did not come through Banyan is installed on this machine"
            => "publish a newer version, or deploy again with --allow-downgrade",
        user: "a newer version is already installed"
            => "nothing to do: the newer version stays";
    ScriptTimeout = "script-timeout", Publisher,
        admin: "a script of the package ran longer than it may"
            => "find out what the script waits for, or publish again with a longer script_timeout_seconds",
        user: "the installation took too long and was stopped"
            => "ask the publisher or your administrator for help";
    InstallFailed = "install-failed", Publisher,
        admin: "the installation failed"
            => "correct the package, then publish and deploy it again",
        user: "the installation failed"
            => "ask the publisher or your administrator for help";
    ProbeFailed = "probe-failed", Publisher,
        admin: "the new version failed its check"
            => "read the probe's output, then publish a corrected release and deploy it to one machine first",
        user: "the new version failed its check"
            => "nothing to do: your administrator and the publisher can see this";
    UndoFailed = "undo-failed", Machine,
        admin: "the new version failed its check and the previous version could not be restored"
            => "repair the package on this machine manually",
        user: "the new version failed its check and the previous version couldn't be restored"
            => "ask for help before you use this software again";
    CannotRestore = "cannot-restore", Publisher,
        admin: "the present state of the machine could not be restored afterwards"
            => "publish and deploy the installed version first, so that its deb is kept, or deploy again with --allow-no-restore",
        user: "there is no previous version to go back to"
            => "ask the publisher or your administrator for help";
    NotAPackage = "not-a-package", Publisher,
        admin: "not a package file this version of Banyan can read"
            => "get it again from its publisher, who makes it with `banyan package build`",
        user: "not a package file this version of Banyan can read"
            => "get it again from its publisher";
    BadRequest = "bad-request", Peer,
        admin: "the server could not understand the request"
            => "read the detail; compare the Banyan versions on both sides",
        user: "the server couldn't understand the request"
            => "check for an update of Banyan";
    NotFound = "not-found", Nobody,
        admin: "not found on the server"
            => "check the name: `banyan machines`, `banyan releases` and `banyan status` list what there is",
        user: "not found on the server"
            => "check what is available now";
    NotOffered = "not-offered", Nobody,
        admin: "the catalogue does not offer this"
            => "check what the catalogue offers now, or add it to the policy's catalogue",
        user: "the catalogue doesn't offer this any more"
            => "check what the catalogue offers now, or ask your administrator";
    UnderWay = "under-way", Nobody,
        admin: "already on its way to this machine"
            => "wait until it is installed",
        user: "already on its way to this computer"
            => "nothing to do: it appears under Updates";
    InstalledAlready = "installed-already", Nobody,
        admin: "this version, or a newer one, is already installed"
            => "nothing to do",
        user: "this version, or a newer one, is already installed"
            => "nothing to do";
    NotAllowed = "not-allowed", Peer,
        admin: "not authorised"
            => "check the profile's token, or enrol the machine",
        user: "you aren't allowed to do this"
            => "ask your administrator";
    NoRoot = "no-root", Publisher,
        admin: "no publisher's root of trust has been registered"
            => "run `banyan keys init` first",
        user: "no publisher has been set up yet"
            => "ask your administrator to finish setting up Banyan";
    JoinRefused = "join-refused", Peer,
        admin: "the join code is unknown, used up, expired or revoked"
            => "create a new one with `banyan tokens create`",
        user: "this join code is unknown, used up, expired or withdrawn"
            => "ask your administrator for a new join code";
    InternalError = "internal-error", Machine,
        admin: "an error inside Banyan"
            => "this is a bug in Banyan; report it with the log of this machine",
        user: "something went wrong inside Banyan"
            => "try again; if it happens again, tell your administrator";
}

//! What the agent and the programs of the people at the machine say to each other, over a local socket: one JSON value
//! a line, both ways.
//!
//! The caller says [`Request::Hello`] first and is told what it may do. Every request gets one [`Reply`], in the order they
//! were asked. After [`Request::Subscribe`] the same connection also carries [`Event`]s between the replies: first the whole
//! [`Snapshot`], then what has changed, as it changes; nothing is said while nothing changes, and nobody has to ask
//! again. A face keeps a snapshot and gives every event to [`Snapshot::apply`].
//!
//! | right | who has it | what for |
//! | --- | --- | --- |
//! | see | who has a session at this machine | everything that stands in a snapshot |
//! | choose | likewise | when this machine transfers and installs what was ordered, within the policy; say what fills the screen |
//! | get | who has a session at this machine, unless the administrator's policy says otherwise | have installed what the catalogue offers |
//! | install | the agent's user and root; who has a session, where the administrator's policy says so | bring in what nobody ordered: packages opened by hand |
//! | administer | the agent's user and root | enrol the machine |
//!
//! Whoever has none of them is told so in one sentence and hung up on.

mod about;
mod catalogue;
mod package;
mod schedule;
mod snapshot;
mod status;
mod update;

pub use about::{About, Enrolled, Link, Mode, TrustedSigner};
pub use catalogue::{Catalogue, Item};
pub use package::{Package, PackageFile, Replaces, Signer};
pub use schedule::{Later, Overruled, PauseFor, Scheduling, Seen, SeenSignals, Sharing, When};
pub use snapshot::{Event, Headline, Snapshot};
pub use status::{OrderStatus, Status};
pub use update::{Happened, HistoryEntry, Partner, Progress, Update, UpdateState, Wait, Wishes};

use crate::{
    DeploymentId, Digest,
    api::ApiError,
    schedule::{GiveWay, Night, Stage, Window, Wish},
};
use serde::{Deserialize, Serialize};

/// Version of these messages.
pub const LOCAL_VERSION: u16 = 3;
/// Longest request (bytes of one line, its end included).
pub const REQUEST_BYTES: u64 = 64 << 10;
/// Longest reply or event (bytes of one line, its end included).
pub const MESSAGE_BYTES: u64 = 8 << 20;

/// From a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// First.
    Hello {
        /// [`LOCAL_VERSION`] of the caller.
        version: u16,
    },
    /// How the agent is, in short.
    Status,
    /// From now on events as well: a snapshot first, then changes.
    Subscribe,
    /// When this machine transfers.
    SetWindow {
        /// The window.
        window: Window,
        /// The hours that `night` means; none leaves them as they are.
        night: Option<Night>,
    },
    /// When updates are installed.
    SetInstallWindow {
        /// The window.
        window: Window,
    },
    /// How fast and how much. All of it is replaced.
    SetLimits {
        /// Receive at most so fast (bytes a second); 0: nothing; none: no limit.
        download: Option<u64>,
        /// Pass on at most so fast (bytes a second); 0: nothing; none: no limit.
        upload: Option<u64>,
        /// Pass on at most so much in one local day (bytes); none: no quota.
        daily_upload: Option<u64>,
        /// Pass on to others at all.
        forward: bool,
        /// Leave at least so much of the disk free (bytes).
        free_disk: u64,
    },
    /// To whom transfers give way.
    SetGiveWay {
        /// To whom.
        give_way: GiveWay,
    },
    /// Nothing is transferred or installed for a while.
    Pause {
        /// How long.
        until: PauseFor,
    },
    /// Ends a pause.
    Resume,
    /// A signal does not count, or counts again.
    Overrule {
        /// Which.
        signal: Overruled,
        /// It does not count.
        on: bool,
    },
    /// Back to the administrator's defaults: as if nobody had ever chosen.
    ForgetChoice,
    /// What the person wants with one update: receive or install it now, or not before some time.
    Wish {
        /// Which update.
        order: DeploymentId,
        /// Receiving or installing. Installing now also receives now; there is no wish about passing on.
        stage: Stage,
        /// What.
        wish: Wish,
    },
    /// What the caller sees of the screen. It counts as long as this connection lives, and as long as the caller's
    /// session is the one in front.
    Report {
        /// A program fills the screen; none: the caller cannot tell.
        full_screen: Option<bool>,
    },
    /// What is in a package file. Behind this line come so many bytes: the file's first ones, up to its artifacts.
    OpenPackage {
        /// How many bytes follow ([`crate::limits::PACKAGE_HEAD_BYTES`] and a few at most).
        head: u64,
        /// How many the whole file has.
        size: u64,
    },
    /// Installs a package file. Behind this line comes the whole file.
    InstallPackage {
        /// [`Package::manifest`], of the release that the person was shown: nothing else is installed.
        manifest: Digest,
        /// How many bytes follow.
        size: u64,
        /// The person trusts whoever signed it: [`Signer::root`], as it was shown. Only where [`Signer::asks`]; it is
        /// remembered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust: Option<Digest>,
    },
    /// The person does not trust this signer any more: one of [`About::signers`].
    ForgetSigner {
        /// Hash of their first root.
        root: Digest,
    },
    /// What the people at this machine may get for themselves. The agent asks its server each time (an answer less than a second
    /// old is given again), so a face asks when somebody looks, and not again by itself.
    Catalogue,
    /// Has one of these installed.
    GetFromCatalogue {
        /// Name of the package.
        package: String,
        /// The manifest ([`crate::api::OfferedRelease::manifest`]) of the release that the person was shown: no other is installed.
        manifest: Digest,
    },
    /// Makes this machine a member with a join code.
    Enrol {
        /// The code.
        code: String,
    },
}

impl Request {
    /// The right it takes. None: everybody who is let in.
    #[must_use]
    pub fn needs(&self) -> Option<Right> {
        match self {
            Self::Hello { .. } => None,
            Self::Status | Self::Subscribe | Self::OpenPackage { .. } | Self::Catalogue => Some(Right::See),
            Self::GetFromCatalogue { .. } => Some(Right::Get),
            Self::InstallPackage { .. } | Self::ForgetSigner { .. } => Some(Right::Install),
            Self::SetWindow { .. }
            | Self::SetInstallWindow { .. }
            | Self::SetLimits { .. }
            | Self::SetGiveWay { .. }
            | Self::Pause { .. }
            | Self::Resume
            | Self::Overrule { .. }
            | Self::ForgetChoice
            | Self::Wish { .. }
            | Self::Report { .. } => Some(Right::Choose),
            Self::Enrol { .. } => Some(Right::Administer),
        }
    }
    /// Bytes of a file that come behind it.
    #[must_use]
    pub fn followed_by(&self) -> u64 {
        match self {
            Self::OpenPackage { head, .. } => *head,
            Self::InstallPackage { size, .. } => *size,
            Self::Hello { .. }
            | Self::Status
            | Self::Subscribe
            | Self::SetWindow { .. }
            | Self::SetInstallWindow { .. }
            | Self::SetLimits { .. }
            | Self::Pause { .. }
            | Self::Resume
            | Self::Overrule { .. }
            | Self::ForgetChoice
            | Self::Wish { .. }
            | Self::SetGiveWay { .. }
            | Self::Report { .. }
            | Self::ForgetSigner { .. }
            | Self::Catalogue
            | Self::GetFromCatalogue { .. }
            | Self::Enrol { .. } => 0,
        }
    }
}

/// To a caller, one for each request, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To `hello`.
    Hello {
        /// [`LOCAL_VERSION`] of the agent.
        version: u16,
        /// Program and version.
        software: String,
        /// What this caller may do.
        rights: Vec<Right>,
    },
    /// To `status`.
    Status(Status),
    /// To `open-package`.
    Package(Box<Package>),
    /// To `catalogue`.
    Catalogue(Catalogue),
    /// To `install-package` and `get-from-catalogue`: the server has ordered it, or the person whose machine it is (and the
    /// file, if one was sent, is here and genuine). From now on it is an update like every other; this is its order.
    Ordered {
        /// Which.
        order: DeploymentId,
    },
    /// It is done and, where it is meant to last, written down. What comes of it is told by events.
    Done,
    /// It was not understood, not allowed, or did not work.
    Error(ApiError),
}

/// One line from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// To the oldest request that has none yet.
    Reply(Reply),
    /// Only after `subscribe`.
    Event(Event),
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// See everything that stands in a snapshot.
    See,
    /// Choose when this machine transfers and installs, within the policy.
    Choose,
    /// Have installed what the administrator offers.
    Get,
    /// Bring in what nobody ordered.
    Install,
    /// Enrol the machine.
    Administer,
}

#[cfg(test)]
mod tests;

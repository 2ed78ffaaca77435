//! The local API between the agent and user programs on the same machine. Messages travel over a local socket in both
//! directions, one JSON value a line.
//!
//! The caller first sends [`Request::Hello`] and receives its rights. Every request gets one [`Reply`], in the order of
//! the requests. After [`Request::Subscribe`] the same connection also carries [`Event`]s between the replies. The
//! first event contains the whole [`Snapshot`]; the later ones contain changes as they happen. So a program never needs
//! to poll: it keeps a snapshot and passes every event to [`Snapshot::apply`].
//!
//! | right | granted to | allows |
//! | --- | --- | --- |
//! | see | users with a session at this machine | reading everything in a snapshot |
//! | choose | users with a session at this machine | choosing when this machine transfers and installs, within the policy; reporting a full-screen program |
//! | get | users with a session at this machine, unless the policy excludes them | installing packages from the catalogue |
//! | install | the agent's user and root; users with a session if the policy allows it | installing package files that no administrator deployed |
//! | administer | the agent's user and root | enrolling the machine |
//!
//! A caller without any right receives an error that says so, and the agent closes the connection.

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
    Digest, OrderId,
    api::ApiError,
    format::Format,
    schedule::{GiveWay, Night, Stage, Window, Wish},
};
use serde::{Deserialize, Serialize};

/// Version of this API.
pub const LOCAL_VERSION: u16 = 3;
/// Longest request, in bytes of one line including its end.
pub const REQUEST_BYTES: u64 = 64 << 10;
/// Longest reply or event, in bytes of one line including its end.
pub const MESSAGE_BYTES: u64 = 8 << 20;

/// A request from a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The first request on a connection.
    Hello {
        /// The caller's [`LOCAL_VERSION`].
        version: u16,
    },
    /// Returns the agent's short status.
    Status,
    /// Subscribes this connection to events: first a snapshot, then changes.
    Subscribe,
    /// Sets when this machine transfers.
    SetWindow {
        /// The window.
        window: Window,
        /// The hours that `night` means; `None` keeps the current ones.
        night: Option<Night>,
    },
    /// Sets when updates are installed.
    SetInstallWindow {
        /// The window.
        window: Window,
    },
    /// Sets all speed and volume limits; it replaces every value.
    SetLimits {
        /// Download limit in bytes a second. 0: receive nothing; `None`: no limit.
        download: Option<u64>,
        /// Upload limit in bytes a second. 0: forward nothing; `None`: no limit.
        upload: Option<u64>,
        /// Upload limit for one local day, in bytes; `None`: no limit.
        daily_upload: Option<u64>,
        /// Whether to forward to other machines at all.
        forward: bool,
        /// Disk space to keep free, in bytes.
        free_disk: u64,
    },
    /// Sets what transfers give way to.
    SetGiveWay {
        /// What transfers give way to.
        give_way: GiveWay,
    },
    /// Pauses transfers and installs.
    Pause {
        /// How long the pause lasts.
        until: PauseFor,
    },
    /// Ends a pause.
    Resume,
    /// Ignores a condition, or stops ignoring it.
    Overrule {
        /// The condition.
        signal: Overruled,
        /// `true` to ignore it.
        on: bool,
    },
    /// Resets all choices to the administrator's defaults.
    ForgetChoice,
    /// Sets the user's wish for one update: receive or install it now, or not before a given time.
    Wish {
        /// The update's order.
        order: OrderId,
        /// Receiving or installing. A wish to install now also receives now. There is no wish for forwarding.
        stage: Stage,
        /// The wish.
        wish: Wish,
    },
    /// Reports what the caller observes about the screen. The report is valid while this connection is open and the
    /// caller's session is the active one.
    Report {
        /// Whether a program fills the screen; `None` if the caller cannot determine it.
        full_screen: Option<bool>,
    },
    /// Reads the description of a package file. The first bytes of the file, up to its artifacts, follow this line.
    OpenPackage {
        /// The number of bytes that follow: slightly more than [`crate::limits::PACKAGE_HEAD_BYTES`] at most.
        head: u64,
        /// The size of the whole file in bytes.
        size: u64,
    },
    /// Installs a package file. The whole file follows this line.
    InstallPackage {
        /// [`Package::manifest`] of the release that the user saw. The agent installs no other release.
        manifest: Digest,
        /// The number of bytes that follow.
        size: u64,
        /// [`Signer::root`] as shown to the user, if the user decided to trust the signer. Allowed only if
        /// [`Signer::asks`] is set. The agent remembers the decision.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trust: Option<Digest>,
    },
    /// Stops trusting a publisher from [`About::signers`].
    ForgetSigner {
        /// The hash of the publisher's first root.
        root: Digest,
    },
    /// Returns the catalogue for this machine. The agent asks the server each time, except that it repeats a reply that
    /// is less than a second old. So a program requests it when a user opens the catalogue and does not poll.
    Catalogue,
    /// Installs a package from the catalogue.
    GetFromCatalogue {
        /// The package's name.
        package: String,
        /// The manifest ([`crate::api::OfferedRelease::manifest`]) of the release that the user saw. The agent installs
        /// no other release.
        manifest: Digest,
    },
    /// Enrols this machine with a join code.
    Enrol {
        /// The join code.
        code: String,
    },
}

impl Format for Request {
    const KIND: &'static str = "request";
}

impl Request {
    /// Returns the right that the request needs; `None` if every accepted caller may send it.
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
    /// Returns the number of file bytes that follow the request.
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

/// A reply to a caller. Replies arrive in the order of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The reply to `hello`.
    Hello {
        /// The agent's [`LOCAL_VERSION`].
        version: u16,
        /// Program and version of the agent.
        software: String,
        /// The rights of this caller.
        rights: Vec<Right>,
    },
    /// The reply to `status`.
    Status(Status),
    /// The reply to `open-package`.
    Package(Box<Package>),
    /// The reply to `catalogue`.
    Catalogue(Catalogue),
    /// The reply to `install-package` and `get-from-catalogue`. The server has issued an order, or the user's own
    /// consent replaces it. A file, if one was sent, has arrived and is genuine. From now on this is an update like any
    /// other.
    Ordered {
        /// The order of the update.
        order: OrderId,
    },
    /// The request succeeded and its change, if it must persist, has been stored. Events report its effects.
    Done,
    /// The request was invalid, was not allowed or failed.
    Error(ApiError),
}

/// A message from the agent: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// The reply to the oldest unanswered request.
    Reply(Reply),
    /// An event, which the agent sends only after `subscribe`.
    Event(Event),
}

/// A right of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// Read everything in a snapshot.
    See,
    /// Choose when this machine transfers and installs, within the policy.
    Choose,
    /// Install packages from the catalogue.
    Get,
    /// Install package files that no administrator deployed.
    Install,
    /// Enrol the machine.
    Administer,
}

#[cfg(test)]
mod tests;

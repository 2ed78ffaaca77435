//! What machines report to the server: facts about themselves and their orders.

use super::ByteSource;
use crate::{LinkRates, MachineId, OrderId, Reason, UnixSeconds, limits, program_output, text};
use serde::{Deserialize, Serialize};

/// `POST /v1/reports`: delivers the facts that happened since the last delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// The reports, oldest first.
    pub reports: Vec<Report>,
}

/// A fact about a machine or one of its orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The report's number. It rises with every report of this machine; the server counts a repeated report once.
    pub number: u64,
    /// The time by the machine's clock.
    pub at: UnixSeconds,
    /// The order; `None` if the fact is not about an order that this machine accepts, such as a refused offer.
    pub order: Option<OrderId>,
    /// What happened.
    pub event: Event,
}

/// An event that a machine reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The machine accepted an offer.
    Offered {
        /// The stripe's number.
        stripe: u8,
        /// The machine that sent the offer.
        sender: MachineId,
    },
    /// The machine refused an offer or a connection.
    Refused {
        /// The machine that sent it.
        sender: MachineId,
        /// The reason for the refusal.
        reason: Reason,
        /// An explanation for people.
        detail: String,
    },
    /// The machine skipped a head and took over its parts.
    SteppedOver {
        /// The stripe's number.
        stripe: u8,
        /// The skipped machine.
        machine: MachineId,
        /// The reason for skipping it.
        reason: Reason,
    },
    /// The machine now receives chunks from another source.
    Source {
        /// The stripe's number.
        stripe: u8,
        /// The new source.
        source: MachineId,
        /// Why the machine left the previous source, if there was one.
        left: Option<Reason>,
    },
    /// The machine received bytes that do not match the publisher's hashes.
    BadChunk {
        /// The machine that sent them.
        source: MachineId,
        /// The chunk's index in the file.
        index: u32,
    },
    /// Progress of the transfer, sent rarely.
    Progress {
        /// Verified chunks on the machine.
        held: u32,
        /// Total chunks.
        of: u32,
    },
    /// The whole artifact has arrived and is verified.
    Verified {
        /// The machines that the content came from.
        sources: Vec<ByteSource>,
        /// What the machine's link carried meanwhile. Older agents omit it.
        #[serde(default, skip_serializing_if = "LinkRates::is_empty")]
        rates: LinkRates,
    },
    /// The server's receipt has arrived.
    Authenticated,
    /// The install started.
    Installing,
    /// The probe passed, or the release was already installed.
    Installed {
        /// Whether the release was already installed.
        already: bool,
        /// Milliseconds from the install permit to the passed probe.
        milliseconds: u64,
        /// What the administrator should know about the machine all the same, such as another package's failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remark: Option<String>,
    },
    /// The machine is waiting, and will try again.
    Waits {
        /// The reason for waiting.
        reason: Reason,
        /// An explanation for people.
        detail: String,
    },
    /// The order ended without success on this machine.
    Failed {
        /// The reason.
        reason: Reason,
        /// An explanation for people: the output of the package manager or the probe.
        detail: String,
        /// Whether the previous version was restored or never changed.
        restored: bool,
    },
}

impl Event {
    /// Escapes and cuts the explanations, which can repeat what another machine wrote, and cuts the list of sources.
    pub fn bound_texts(&mut self) {
        match self {
            Self::Refused { detail, .. } | Self::Waits { detail, .. } => {
                *detail = text::bounded(detail, text::DETAIL_BYTES);
            }
            // The output of a package manager: the only long text that helps an administrator.
            Self::Failed { detail, .. } => {
                *detail = program_output::bounded_failure(detail, limits::FAILURE_DETAIL_BYTES);
            }
            Self::Verified { sources, .. } => sources.truncate(limits::SOURCES),
            Self::Offered { .. }
            | Self::SteppedOver { .. }
            | Self::Source { .. }
            | Self::BadChunk { .. }
            | Self::Progress { .. }
            | Self::Authenticated
            | Self::Installing
            | Self::Installed { .. } => {}
        }
    }
}

//! The record of a personal install helper: the publishers whom its user trusts. It lies beside the trust record of a
//! server's helper; the two are never used together.

use crate::{
    error::InstallError,
    storage::{files::write_synced, layout::Layout},
    verification::record_file,
};
use banyan_proto::Reason;
use banyan_trust::{PersonalTrust, TrustStore};
use serde::{Deserialize, Serialize};

/// The record of a personal install helper: the publishers whom the user trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonalRecord {
    /// The user's trusted publishers.
    pub(crate) trust: PersonalTrust,
}

impl PersonalRecord {
    /// Reads the record; `None` when there is none.
    pub(crate) fn find(layout: &Layout) -> Result<Option<Self>, InstallError> {
        let path = layout.personal_record();
        let advice =
            || format!("to start over, remove {}; the minimum versions recorded there are lost", path.display());
        record_file::read_record(&path, advice)
    }
    /// Loads the record.
    ///
    /// # Errors
    /// When there is none, or it is damaged: then no job is accepted.
    pub(crate) fn load(layout: &Layout) -> Result<Self, InstallError> {
        Self::find(layout)?.ok_or_else(|| {
            let detail = "this install helper is not set up for personal use yet: open the package again while the agent \
                          is running, which sets it up";
            InstallError::new(Reason::NotAllowed, detail)
        })
    }
    /// Writes and syncs the record. Act on its content only afterwards.
    pub(crate) fn save(&self, layout: &Layout) -> Result<(), InstallError> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| InstallError::new(Reason::InternalError, format!("writing the record: {error}")))?;
        write_synced(&layout.personal_record(), &bytes)
    }
    /// Returns what is known about these publishers, for the record of an install helper that joins a server.
    pub(crate) fn for_server(&self, root: &str) -> Option<TrustStore> {
        self.trust.for_server(root)
    }
}

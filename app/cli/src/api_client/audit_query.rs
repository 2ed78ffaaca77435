//! Which rows of the audit log to ask the server for.

use super::encode_query;
use banyan_proto::{
    UnixSeconds,
    audit::{AuditResult, PAGE_ROWS},
};
use serde::Serialize;

/// Which rows to list. `None` means any.
#[derive(Debug, Default)]
pub(crate) struct AuditQuery {
    /// Who did it.
    pub(crate) actor: Option<String>,
    /// What it was done to.
    pub(crate) object: Option<String>,
    /// What was done.
    pub(crate) action: Option<String>,
    /// What became of it.
    pub(crate) result: Option<AuditResult>,
    /// Not older than this.
    pub(crate) since: Option<UnixSeconds>,
    /// Older than this.
    pub(crate) until: Option<UnixSeconds>,
}

/// Returns a word or number as it stands behind the question mark.
fn plain(value: impl Serialize) -> Option<String> {
    match serde_json::to_value(value).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    }
}

impl AuditQuery {
    /// Returns the path of a request for rows before the row `before`, at most `limit`.
    pub(super) fn path(&self, before: Option<u64>, limit: u64) -> String {
        let limit = limit.min(PAGE_ROWS);
        let mut path = format!("audit?limit={limit}");
        for (name, value) in [
            ("actor", plain(&self.actor)),
            ("object", plain(&self.object)),
            ("action", plain(&self.action)),
            ("result", plain(self.result)),
            ("since", plain(self.since)),
            ("until", plain(self.until)),
            ("before", plain(before)),
        ] {
            if let Some(value) = value {
                path += &format!("&{name}={}", encode_query(&value));
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_in_the_path() {
        assert_eq!(AuditQuery::default().path(None, u64::MAX), "audit?limit=1000");
        let query = AuditQuery {
            actor: Some("Anna B".into()),
            result: Some(AuditResult::Refused),
            since: Some(UnixSeconds(7)),
            ..AuditQuery::default()
        };
        assert_eq!(query.path(Some(3), 5), "audit?limit=5&actor=Anna%20B&result=refused&since=7&before=3");
    }
}

//! The budget of a site: how many bytes a second all of its machines together may move over its uplink, and the messages
//! by which the server divides it among them (rule P17).

use crate::{MachineId, Site, format::requests, schedule::Window};
use serde::{Deserialize, Serialize};

/// The most lines of a budget.
const MAX_LINES: usize = 32;
/// The lowest rate of a budget (bytes a second). With less, a connection would not last.
const LEAST_RATE: u64 = 1_000;

/// Rates over an uplink, in bytes a second with headers; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SiteRates {
    /// Into the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<u64>,
    /// Out of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<u64>,
}

/// The rates of some hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BudgetHours {
    /// The hours, by the server's local time: `any`, or such as `Mon-Fri 08:00-18:00`.
    pub hours: Window,
    /// The rates in these hours.
    #[serde(flatten)]
    pub rates: SiteRates,
}

/// A site's budget. The first line whose hours include the present applies; without one, there is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct SiteBudget(pub Vec<BudgetHours>);

impl SiteBudget {
    /// Checks that the budget makes sense.
    ///
    /// # Errors
    /// Returns a message about the first error found.
    pub fn check(&self) -> Result<(), String> {
        if self.0.is_empty() || self.0.len() > MAX_LINES {
            return Err(format!("a budget has 1 to {MAX_LINES} lines"));
        }
        for BudgetHours { hours, rates } in &self.0 {
            if matches!(hours, Window::Idle | Window::Night) {
                return Err(format!("{hours} says nothing about a site; use any, or days and hours"));
            }
            if [rates.download, rates.upload].into_iter().flatten().any(|rate| rate < LEAST_RATE) {
                return Err(format!("a budget is at least {LEAST_RATE} bytes a second in each direction"));
            }
        }
        Ok(())
    }
    /// Returns the lowest rates of all hours.
    #[must_use]
    pub fn lowest(&self) -> SiteRates {
        let lowest = |of: fn(&SiteRates) -> Option<u64>| self.0.iter().filter_map(|line| of(&line.rates)).min();
        SiteRates { download: lowest(|rates| rates.download), upload: lowest(|rates| rates.upload) }
    }
}

/// `POST /api/v1/sites`: sets or removes the budget of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SetSiteBudget {
    /// The site.
    pub site: Site,
    /// The new budget; `None` removes the current one.
    pub budget: Option<SiteBudget>,
}

/// A site in the reply to `GET /api/v1/sites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SiteStatus {
    /// The site.
    pub site: Site,
    /// The number of machines there that are not excluded.
    pub machines: usize,
    /// The budget, if one is set.
    pub budget: Option<SiteBudget>,
    /// The rates that apply now.
    pub rates: SiteRates,
    /// The shares that machines have now.
    pub shares: Vec<SiteShare>,
    /// Identifies the budget. A request to set it with `If-Match` and this is refused with 412 if it was changed meanwhile.
    /// Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What one machine may move over its site's uplink now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SiteShare {
    /// The machine.
    pub machine: MachineId,
    /// The machine's display name.
    pub label: String,
    /// The rates.
    #[serde(flatten)]
    pub rates: SiteRates,
}

/// Tells a machine, in the reply to a check-in, that its site has a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteNotice {
    /// The notice's number, never 0. Another notice has another number.
    pub number: u64,
    /// The machine's site. Connections to addresses elsewhere go over the uplink.
    pub site: Site,
    /// The rates without a valid share.
    pub without_share: SiteRates,
}

/// What a machine did with its share in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShareUse {
    /// Whether a transfer goes over the uplink.
    pub is_used: bool,
    /// Whether the share was the limit.
    pub is_limited: bool,
    /// The rate since the last request (bytes a second).
    pub bytes_per_second: u64,
    /// The share that the machine has; `None`: none that is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u64>,
}

/// `POST /v1/site-share`: asks for a share of the site's budget, or renews it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteShareRequest {
    /// Into the site.
    pub download: ShareUse,
    /// Out of the site.
    pub upload: ShareUse,
}

/// The reply to [`SiteShareRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteShareReply {
    /// What a check-in would say; `None`: the site has no budget.
    pub notice: Option<SiteNotice>,
    /// The share.
    pub rates: SiteRates,
    /// How long the share is valid (milliseconds), from when the request was sent.
    pub valid_ms: u32,
    /// When to ask again (milliseconds), from when the request was sent.
    pub renew_ms: u32,
}

requests! {
    SetSiteBudget = "request to set a site's budget";
    SiteShareRequest = "request for a share of a site's budget";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_written_by_hours_and_checked() {
        let text =
            r#"[{"hours":"Mon-Fri 08:00-18:00","download":600000,"upload":100000},{"hours":"any","download":2000000}]"#;
        let budget: SiteBudget = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&budget).unwrap(), text);
        assert_eq!(budget.check(), Ok(()));
        assert_eq!(budget.lowest(), SiteRates { download: Some(600_000), upload: Some(100_000) });
        for (wrong, said) in [
            ("[]", "1 to 32 lines"),
            (r#"[{"hours":"idle","download":5000}]"#, "idle"),
            (r#"[{"hours":"any","upload":10}]"#, "1000 bytes a second"),
        ] {
            let error = serde_json::from_str::<SiteBudget>(wrong).unwrap().check().unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}

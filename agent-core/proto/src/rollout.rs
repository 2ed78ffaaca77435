//! How a deployment reaches its machines step by step: rings, the gates between them, and its membership.
//!
//! Every machine receives the content at once. A ring holds back the install permits of its machines until the rings
//! before it have passed their gates.

use crate::format::is_false;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The largest number of rings.
pub const MAX_RINGS: usize = 20;
/// The share of machines that must succeed unless a deployment says otherwise (percent).
pub const DEFAULT_SUCCESS_PERCENT: u8 = 95;
/// How long a ring runs after its last needed report unless a deployment says otherwise (seconds).
pub const DEFAULT_SOAK_SECONDS: u64 = 600;
/// The longest soak time (seconds). A deployment ends after 30 days.
pub const MAX_SOAK_SECONDS: u64 = 14 * 24 * 3600;
/// The share of a later ring's machines that may fail unless a deployment says otherwise (percent).
pub const DEFAULT_FAILURE_PERCENT: u8 = 5;
/// How many failures for the same reason stop a ring before its share does.
pub const SAME_FAILURES: u32 = 3;

/// How a deployment reaches its machines. The default has one step for all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Whether the machines are chosen once, when the deployment starts. Otherwise machines that the selection selects
    /// later join it; machines that are selected by name never do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fixed: bool,
    /// How many machines the rings up to each one have together; the last entry is [`RingSize::All`]. Empty: no rings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<RingSize>,
    /// What each ring must show before the next one opens.
    #[serde(default, skip_serializing_if = "Gates::is_default")]
    pub gates: Gates,
}

/// How many machines the rings up to one have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RingSize {
    /// This many.
    Machines(u32),
    /// This share, in percent, rounded up.
    Share(u8),
    /// All machines.
    All,
}

impl RingSize {
    /// Returns how many of this many machines the rings up to this one have.
    #[must_use]
    pub fn of(self, machines: usize) -> usize {
        match self {
            Self::Machines(count) => usize::try_from(count).unwrap_or(usize::MAX).min(machines),
            Self::Share(percent) => (machines * usize::from(percent)).div_ceil(100).min(machines),
            Self::All => machines,
        }
    }
}

/// A text that is not the size of a ring, a list of them, or a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RolloutError(String);

impl FromStr for RingSize {
    type Err = RolloutError;
    fn from_str(text: &str) -> Result<Self, RolloutError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let size = match text.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|share| (1..=100).contains(share)).map(Self::Share),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Machines),
        };
        size.ok_or_else(|| {
            RolloutError(format!("{text:?} is not a valid ring; write a number such as 5, a share such as 25%, or all"))
        })
    }
}

impl fmt::Display for RingSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machines(count) => write!(f, "{count}"),
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::All => f.write_str("all"),
        }
    }
}

impl TryFrom<String> for RingSize {
    type Error = RolloutError;
    fn try_from(text: String) -> Result<Self, RolloutError> {
        text.parse()
    }
}
impl From<RingSize> for String {
    fn from(size: RingSize) -> Self {
        size.to_string()
    }
}

/// How many failures halt a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum FailureLimit {
    /// More than this many machines of a ring.
    Machines(u32),
    /// More than this share of a ring's machines, in percent.
    Share(u8),
}

impl FromStr for FailureLimit {
    type Err = RolloutError;
    fn from_str(text: &str) -> Result<Self, RolloutError> {
        let limit = match text.strip_suffix('%') {
            Some(share) => share.parse().ok().filter(|share| *share <= 100).map(Self::Share),
            None => text.parse().ok().map(Self::Machines),
        };
        limit.ok_or_else(|| {
            RolloutError(format!("{text:?} is not a valid limit; write a number such as 0, or a share such as 5%"))
        })
    }
}

impl fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machines(count) => write!(f, "{count}"),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl TryFrom<String> for FailureLimit {
    type Error = RolloutError;
    fn try_from(text: String) -> Result<Self, RolloutError> {
        text.parse()
    }
}
impl From<FailureLimit> for String {
    fn from(limit: FailureLimit) -> Self {
        limit.to_string()
    }
}

/// What each ring must show before the next one opens, and which failures halt the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// How many machines of a ring must have reported; `None`: all that are reachable, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_reports: Option<u32>,
    /// The share of those that must have succeeded (percent); `None`: [`DEFAULT_SUCCESS_PERCENT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_percent: Option<u8>,
    /// How long the ring then runs (seconds); `None`: [`DEFAULT_SOAK_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_seconds: Option<u64>,
    /// How many failures halt the deployment; `None`: any in the first ring, later more than
    /// [`DEFAULT_FAILURE_PERCENT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<FailureLimit>,
}

impl Gates {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Rollout {
    /// Returns whether the server must know this type to act on a request.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
    /// Returns whether installs are gated: there are rings, or a number of failures halts the deployment.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        !self.rings.is_empty() || self.gates.max_failures.is_some()
    }
    /// Returns the rings; one of all machines if none are given.
    #[must_use]
    pub fn ring_sizes(&self) -> &[RingSize] {
        if self.rings.is_empty() { &[RingSize::All] } else { &self.rings }
    }
    /// Checks that the values make sense together.
    ///
    /// # Errors
    /// Says what is wrong and what to do.
    pub fn check(&self) -> Result<(), RolloutError> {
        let wrong = |text: String| Err(RolloutError(text));
        if self.rings.len() > MAX_RINGS {
            return wrong(format!("{} rings given; a deployment has at most {MAX_RINGS}", self.rings.len()));
        }
        if let Some((last, before)) = self.rings.split_last() {
            if *last != RingSize::All {
                return wrong(format!("the last ring is {last}; end the list with all, such as 1,25%,all"));
            }
            if before.contains(&RingSize::All) {
                return wrong("only the last ring can be all".to_owned());
            }
            for pair in before.windows(2) {
                let rises = match (pair[0], pair[1]) {
                    (RingSize::Machines(a), RingSize::Machines(b)) => a < b,
                    (RingSize::Share(a), RingSize::Share(b)) => a < b,
                    _ => true,
                };
                if !rises {
                    let [first, second] = [pair[0], pair[1]];
                    return wrong(format!(
                        "ring {second} follows ring {first}; each ring includes the ones before, so sizes must rise"
                    ));
                }
            }
        }
        let Gates { min_reports, success_percent, soak_seconds, max_failures: _ } = self.gates;
        let has_gate = self.rings.len() > 1;
        if !has_gate && (min_reports.is_some() || success_percent.is_some() || soak_seconds.is_some()) {
            return wrong(
                "a minimum of reports, a success share and a soak time decide when the next ring opens; give at least \
                 two rings, such as 1,all"
                    .to_owned(),
            );
        }
        if min_reports == Some(0) {
            return wrong("the minimum of reports is 0, which proves nothing; give 1 or more".to_owned());
        }
        if success_percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            return wrong("the success share is not between 1% and 100%".to_owned());
        }
        if soak_seconds.is_some_and(|seconds| seconds > MAX_SOAK_SECONDS) {
            return wrong(format!("the soak time is longer than {} days", MAX_SOAK_SECONDS / (24 * 3600)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(text: &str) -> Vec<RingSize> {
        text.split(',').map(|size| size.parse().unwrap()).collect()
    }

    #[test]
    fn sizes_round_up_and_never_exceed_the_machines() {
        for (size, machines, expected) in [
            ("1", 31, 1),
            ("50", 31, 31),
            ("25%", 31, 8),
            ("1%", 1, 1),
            ("1%", 100, 1),
            ("1%", 101, 2),
            ("100%", 7, 7),
            ("all", 0, 0),
            ("25%", 0, 0),
        ] {
            assert_eq!(size.parse::<RingSize>().unwrap().of(machines), expected, "{size} of {machines}");
        }
        for wrong in ["", "0", "0%", "101%", "-1", "x", "1.5%", "%", "All"] {
            assert!(wrong.parse::<RingSize>().is_err(), "{wrong:?}");
        }
        for wrong in ["", "-1", "101%", "few"] {
            assert!(wrong.parse::<FailureLimit>().is_err(), "{wrong:?}");
        }
        assert_eq!("0%".parse::<FailureLimit>(), Ok(FailureLimit::Share(0)));
    }

    #[test]
    fn values_that_do_not_go_together_are_refused() {
        let with = |text: &str| Rollout { rings: rings(text), ..Rollout::default() };
        for right in ["all", "1,all", "1,25%,all", "10%,50%,all", "25%,30,all"] {
            assert_eq!(with(right).check(), Ok(()), "{right}");
        }
        for wrong in ["1", "1,25%", "all,all", "5,5,all", "50%,10%,all", "7,3,all"] {
            assert!(with(wrong).check().is_err(), "{wrong}");
        }
        let gates = |gates| Rollout { rings: rings("1,all"), gates, ..Rollout::default() };
        for wrong in [
            Gates { min_reports: Some(0), ..Gates::default() },
            Gates { success_percent: Some(0), ..Gates::default() },
            Gates { success_percent: Some(101), ..Gates::default() },
            Gates { soak_seconds: Some(MAX_SOAK_SECONDS + 1), ..Gates::default() },
        ] {
            assert!(gates(wrong).check().is_err(), "{wrong:?}");
        }
        let soak = Gates { soak_seconds: Some(1), ..Gates::default() };
        assert_eq!(gates(soak).check(), Ok(()));
        assert!(Rollout { gates: soak, ..Rollout::default() }.check().is_err(), "no ring waits for it");
        let limit = Gates { max_failures: Some(FailureLimit::Machines(0)), ..Gates::default() };
        assert_eq!(Rollout { gates: limit, ..Rollout::default() }.check(), Ok(()));
    }

    #[test]
    fn texts_round_trip() {
        let rollout = Rollout {
            fixed: true,
            rings: rings("1,25%,all"),
            gates: Gates { max_failures: Some(FailureLimit::Share(5)), soak_seconds: Some(60), ..Gates::default() },
        };
        let json = serde_json::to_string(&rollout).unwrap();
        assert_eq!(json, r#"{"fixed":true,"rings":["1","25%","all"],"gates":{"soak_seconds":60,"max_failures":"5%"}}"#);
        assert_eq!(serde_json::from_str::<Rollout>(&json).unwrap(), rollout);
        assert_eq!(serde_json::from_str::<Rollout>("{}").unwrap(), Rollout::default());
    }
}

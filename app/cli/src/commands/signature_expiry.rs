//! Warns 60 days before the publisher's signatures expire. After that, machines install nothing until the publisher
//! signs again.

use banyan_proto::{UnixSeconds, admin::CurrentTargets};
use tough::schema::{Root, Signed, Targets};

/// How long before the expiry to warn (seconds).
pub(crate) const WARNING_PERIOD: u64 = 60 * 24 * 3600;

/// Returns when a root expires.
pub(crate) fn root_expiry(root: &Root) -> UnixSeconds {
    UnixSeconds(u64::try_from(root.expires.as_second()).unwrap_or(0))
}

/// Returns when the root and the list of releases shown by a server expire. Verifies nothing: the result is for
/// warnings only.
pub(crate) fn read_expiry(current: &CurrentTargets) -> Option<(UnixSeconds, Option<UnixSeconds>)> {
    let root: Signed<Root> = serde_json::from_str(&current.root).ok()?;
    let list = current.targets.as_ref().and_then(|text| serde_json::from_str::<Signed<Targets>>(text).ok());
    let list = list.map(|list| UnixSeconds(u64::try_from(list.signed.expires.as_second()).unwrap_or(0)));
    Some((root_expiry(&root.signed), list))
}

/// Formats a date as `2026-11-28`.
pub(crate) fn format_date(at: UnixSeconds) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| at.to_string(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Returns the warnings to print; empty if nothing expires soon.
pub(crate) fn expiry_warnings(root: UnixSeconds, list: Option<UnixSeconds>, now: UnixSeconds) -> Vec<String> {
    let warn = |what: &str, expires: UnixSeconds, next: &str| {
        let left = expires.0.saturating_sub(now.0);
        match left {
            0 => Some(format!("{what} has expired, so machines install nothing; next: {next}")),
            1..WARNING_PERIOD => Some(format!("{what} expires in {} days; next: {next}", left / (24 * 3600))),
            _ => None,
        }
    };
    let root = warn("the root of trust", root, "run `banyan keys renew --key DIR`");
    let list =
        list.and_then(|list| warn("the list of releases", list, "run `banyan keys renew --key DIR --only targets`"));
    root.into_iter().chain(list).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_warned_of_sixty_days_ahead_and_not_before() {
        let now = UnixSeconds(1_800_000_000);
        let (soon, later) = (now.plus(WARNING_PERIOD - 1), now.plus(WARNING_PERIOD));
        assert!(expiry_warnings(later, Some(later), now).is_empty() && expiry_warnings(later, None, now).is_empty());
        let root = expiry_warnings(soon, Some(later), now);
        assert!(root.len() == 1 && root[0].contains("root") && root[0].contains("59 days"), "{root:?}");
        let list = expiry_warnings(later, Some(now), now);
        assert!(list.len() == 1 && list[0].contains("has expired") && list[0].contains("--only targets"), "{list:?}");
    }
}

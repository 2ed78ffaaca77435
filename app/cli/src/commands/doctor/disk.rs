//! Checks the free space on the disk of a data folder.

use crate::commands::doctor::Check;
use banyan_proto::format_size;

/// Below this (bytes), the next write may fail.
const FULL: u64 = 16 << 20;
/// Below this (bytes), an ordinary package may not fit.
const NEARLY_FULL: u64 = 128 << 20;

/// Checks the free space (bytes) on a disk; nothing when it is unknown.
pub(super) fn check(what: &'static str, place: &str, free: Option<u64>) -> Option<Check> {
    let free = free?;
    let found = format!("{} free on the disk of {place}", format_size(free));
    Some(match free {
        ..FULL => Check::bad(what, found, "free some space there"),
        FULL..NEARLY_FULL => Check::doubtful(what, found, "free some space there before large packages arrive"),
        NEARLY_FULL.. => Check::good(what, found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    #[test]
    fn a_full_disk_is_not_ok() {
        let verdict = |free| check("disk", "/var/lib/banyan", Some(free)).unwrap().verdict;
        assert_eq!(
            (verdict(0), verdict(100 << 20), verdict(1 << 40)),
            (Verdict::Bad, Verdict::Doubtful, Verdict::Good)
        );
        assert!(check("disk", "x", None).is_none());
    }
}

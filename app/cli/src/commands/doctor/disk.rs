//! Checks the free space on the disk of a data folder.

use crate::commands::doctor::Check;
use banyan_proto::{format_size, size::FileRoom};

/// Below this (bytes), the next write may fail.
const FULL: u64 = 16 << 20;
/// Below this (bytes), an ordinary package may not fit.
const NEARLY_FULL: u64 = 128 << 20;

/// Checks the free space (bytes) and the free inodes on a disk; nothing when the space is unknown.
pub(super) fn check(what: &'static str, place: &str, free: Option<u64>, files: Option<FileRoom>) -> Option<Check> {
    let free = free?;
    if let Some(files) = files.filter(|files| files.is_used_up()) {
        return Some(Check::bad(what, files.describe(place), "delete files there; `df -i` shows the free inodes"));
    }
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
        let verdict = |free| check("disk", "/var/lib/banyan", Some(free), None).unwrap().verdict;
        assert_eq!(
            (verdict(0), verdict(100 << 20), verdict(1 << 40)),
            (Verdict::Bad, Verdict::Doubtful, Verdict::Good)
        );
        assert!(check("disk", "x", None, None).is_none());
        let with = |files| check("disk", "/srv", Some(1 << 40), Some(files)).unwrap();
        let full = with(FileRoom { free: 0, all: 1000 });
        assert!(full.verdict == Verdict::Bad && full.found.contains("/srv has 0 free inodes of 1000"), "{full:?}");
        assert_eq!(with(FileRoom { free: 500, all: 1000 }).verdict, Verdict::Good);
    }
}

//! The one way in which every program of Banyan writes an amount of data, and that a file system can hold no more files.

use serde::{Deserialize, Serialize};

const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];

/// Returns a number of bytes in decimal units, rounded to two digits at least: `3.1 MB`, `84 MB`, `512 bytes`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    // A value that rounds up to 1000 of a unit is written as 1.0 of the next.
    let reaches = |unit: u64| u128::from(bytes) * 2000 >= u128::from(unit) * 1999;
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| reaches(*unit)) else {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (u128::from(bytes) + u128::from(unit) / 2) / u128::from(unit))
    }
}

/// How many files a file system can hold. Many have a fixed number of inodes, one for each file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FileRoom {
    /// How many more files can be created.
    pub free: u64,
    /// How many it can hold in all.
    pub all: u64,
}

impl FileRoom {
    /// With fewer free inodes than this, Banyan cannot work: each step needs a few files of its own.
    const LEAST: u64 = 8;

    /// Returns whether hardly any file can be created, however much space is free.
    #[must_use]
    pub fn is_used_up(self) -> bool {
        self.free < Self::LEAST
    }
    /// Says so about a place, with what to do.
    #[must_use]
    pub fn describe(self, place: &str) -> String {
        let Self { free, all } = self;
        format!(
            "the file system of {place} has {free} free inodes of {all}, so it can hold no more files, however much space \
             is free; delete files that are not needed there"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_and_rounded() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (9_949_999, "9.9 MB"),
            (9_950_000, "10 MB"),
            (84_499_999, "84 MB"),
            (999_499_999, "999 MB"),
            (999_500_000, "1.0 GB"),
            (64 << 20, "67 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(format_size(bytes), text, "{bytes}");
        }
    }
}

//! Converts between this workspace's times and the TUF library's.

use banyan_proto::UnixSeconds;

/// Converts a time of the library. A time before 1970 becomes 0.
pub(crate) fn to_unix_seconds(time: jiff::Timestamp) -> UnixSeconds {
    UnixSeconds(u64::try_from(time.as_second()).unwrap_or(0))
}

/// Converts a time for the library. A time beyond its range counts as later than every expiry.
pub(crate) fn to_timestamp(time: UnixSeconds) -> jiff::Timestamp {
    i64::try_from(time.0).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or(jiff::Timestamp::MAX)
}

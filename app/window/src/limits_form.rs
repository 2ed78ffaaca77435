//! The form for limits on the Settings page: its texts, and the request that saves them.

use banyan_proto::{local::Request, schedule::Choice};

/// The limits as texts in the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitsForm {
    /// Download limit (MB/s).
    pub(crate) download: String,
    /// Sharing speed limit (MB/s).
    pub(crate) upload: String,
    /// Daily sharing limit (MB).
    pub(crate) daily: String,
    /// Disk space to keep free (GB).
    pub(crate) free_disk: String,
    pub(crate) forward: bool,
}

const MEGA: u64 = 1_000_000;
const GIGA: u64 = 1_000_000_000;

impl LimitsForm {
    /// Returns the limits of a choice.
    pub(crate) fn of(choice: &Choice) -> Self {
        let text = |value: Option<u64>, unit: u64| value.map_or(String::new(), |value| format_amount(value, unit));
        Self {
            download: text(choice.download, MEGA),
            upload: text(choice.upload, MEGA),
            daily: text(choice.daily_upload, MEGA),
            free_disk: text(Some(choice.free_disk).filter(|bytes| *bytes > 0), GIGA),
            forward: choice.forward,
        }
    }
    /// Returns the request that saves the limits; none while a field is not a number.
    pub(crate) fn request(&self) -> Option<Request> {
        Some(Request::SetLimits {
            download: parse_amount(&self.download, MEGA)?,
            upload: parse_amount(&self.upload, MEGA)?,
            daily_upload: parse_amount(&self.daily, MEGA)?,
            forward: self.forward,
            free_disk: parse_amount(&self.free_disk, GIGA)?.unwrap_or(0),
        })
    }
}

/// Formats a value as `1.5`, with at most three decimals.
fn format_amount(value: u64, unit: u64) -> String {
    let text = format!("{}.{:03}", value / unit, value % unit / (unit / 1000));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Parses a field: none when it is not a number, `Some(None)` (no limit) when it is empty.
pub(crate) fn parse_amount(text: &str, unit: u64) -> Option<Option<u64>> {
    let text = text.trim().replace(',', ".");
    if text.is_empty() {
        return Some(None);
    }
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    Some(Some(whole.checked_mul(unit)?.checked_add(thousandths * (unit / 1000))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_people_write_them() {
        for (text, value) in [
            ("", Some(None)),
            (" 2 ", Some(Some(2 * MEGA))),
            ("1.5", Some(Some(1_500_000))),
            ("0,25", Some(Some(250_000))),
            (".5", Some(Some(500_000))),
            ("0", Some(Some(0))),
            ("-1", None),
            ("fast", None),
            ("1.5.2", None),
            (".", None),
            ("1.2345", None),
            ("99999999999999999999", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(parse_amount(text, MEGA), value, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_what_is_asked_for_again() {
        let choice = Choice {
            download: Some(1_500_000),
            upload: None,
            daily_upload: Some(50 * MEGA),
            free_disk: 2 * GIGA,
            ..Choice::default()
        };
        let limits = LimitsForm::of(&choice);
        assert_eq!((limits.download.as_str(), limits.upload.as_str(), limits.daily.as_str()), ("1.5", "", "50"));
        let requests = limits.request();
        let wanted = Request::SetLimits {
            download: choice.download,
            upload: None,
            daily_upload: choice.daily_upload,
            forward: true,
            free_disk: choice.free_disk,
        };
        assert_eq!(requests, Some(wanted));
        assert_eq!(LimitsForm { upload: "much".to_owned(), ..limits }.request(), None);
    }
}

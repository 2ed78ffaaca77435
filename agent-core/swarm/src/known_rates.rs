//! What the server remembers of the machines' links: what its own check of a link has shown, and from then on what the
//! machines report after each transfer (rule P14).
//!
//! A report is a machine's own claim. It decides where the machine stands in later trees, and nothing else.

use banyan_proto::{KnownRate, KnownRates, LinkRates, MeasuredRate, UnixSeconds};

/// The highest rate that is believed (bytes a second).
const MOST: u64 = 1 << 40;
/// How long a measurement counts (seconds).
const LIFETIME: u64 = 90 * 24 * 3600;
/// A limit that changed by more than this factor is another link's. Smaller changes are averaged.
const SAME_LINK: u64 = 2;
/// What a check shows is wrong by less than this factor.
const CHECK_ERROR: f64 = 1.4;

/// Records what a check of a link has shown. It counts until a transfer shows more.
pub fn record_check(known: &mut KnownRates, checked: &LinkRates, now: UnixSeconds) {
    for (known, checked) in [(&mut known.down, checked.down), (&mut known.up, checked.up)] {
        let is_open = current(*known, now).is_none_or(|rate| rate.is_rough);
        if let Some(rate) = checked.filter(|_| is_open) {
            *known = Some(KnownRate { rate: MeasuredRate { is_rough: true, ..bounded(rate) }, measured: now });
        }
    }
}

/// Combines what was known of a link with what a transfer has shown.
pub fn combine(known: &mut KnownRates, measured: &LinkRates, now: UnixSeconds) {
    combine_direction(&mut known.down, measured.down, now);
    combine_direction(&mut known.up, measured.up, now);
}

fn combine_direction(known: &mut Option<KnownRate>, measured: Option<MeasuredRate>, now: UnixSeconds) {
    let Some(new) = measured.map(bounded) else { return };
    let old = current(*known, now).unwrap_or_default();
    if old.is_rough {
        *known = Some(KnownRate { rate: combine_with_check(old, new), measured: now });
        return;
    }
    let at_most = match (old.at_most, new.at_most) {
        (Some(old), Some(new)) if is_same_link(old, new) => Some(old.midpoint(new)),
        (Some(old), None) if new.at_least <= old => Some(old),
        (_, new) => new,
    };
    let at_least = old.at_least.max(new.at_least).min(at_most.unwrap_or(MOST));
    *known = Some(KnownRate { rate: MeasuredRate { at_least, at_most, is_rough: false }, measured: now });
}

/// Returns whether two rates may be equal, if a check has shown at least one of them.
pub(crate) fn may_be_equal(a: u64, b: u64) -> bool {
    let is_near = |a: u64, b: u64| a as f64 <= CHECK_ERROR * b as f64;
    is_near(a, b) && is_near(b, a)
}

/// Replaces what a check has shown. If a transfer shows only that the link carries about as much or less, what the check
/// has shown still counts as the most.
fn combine_with_check(checked: MeasuredRate, new: MeasuredRate) -> MeasuredRate {
    match (checked.at_most, new.at_most) {
        (Some(most), None) if new.at_least <= most || may_be_equal(new.at_least, most) => {
            MeasuredRate { at_least: new.at_least, at_most: Some(most.max(new.at_least)), is_rough: true }
        }
        _ => new,
    }
}

/// Returns what a machine has measured of its uplink, without a limit that its receivers explain: it sent about as much as
/// they can receive, so they may have been the limit. `receivers`: what is known of each one's downlink, and the share of
/// it that the machine is to fill.
#[must_use]
pub fn without_limit_of_receivers(up: MeasuredRate, receivers: &[(Option<MeasuredRate>, f64)]) -> MeasuredRate {
    let most = |(down, share): &(Option<MeasuredRate>, f64)| Some(down.as_ref()?.at_most? as f64 * share);
    let sum: Option<f64> = receivers.iter().map(most).sum();
    let may_be_limit = |limit: &u64| sum.is_none_or(|sum| sum <= 0.0 || *limit as f64 * CHECK_ERROR < sum);
    MeasuredRate { at_most: up.at_most.filter(may_be_limit), ..up }
}

/// Returns what is known of one direction, unless it is too old.
#[must_use]
pub fn current(known: Option<KnownRate>, now: UnixSeconds) -> Option<MeasuredRate> {
    known.filter(|known| now.0.saturating_sub(known.measured.0) < LIFETIME).map(|known| known.rate)
}

fn is_same_link(old: u64, new: u64) -> bool {
    new <= old.saturating_mul(SAME_LINK) && old <= new.saturating_mul(SAME_LINK)
}

fn bounded(MeasuredRate { at_least, at_most, .. }: MeasuredRate) -> MeasuredRate {
    let at_most = at_most.map(|most| most.min(MOST));
    MeasuredRate { at_least: at_least.min(at_most.unwrap_or(MOST)), at_most, is_rough: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    /// Returns what is known after these reports, one a day.
    fn after(reports: &[(u64, Option<u64>)]) -> MeasuredRate {
        let mut known = None;
        for (day, &(at_least, at_most)) in (1..).zip(reports) {
            combine_direction(&mut known, Some(rate(at_least, at_most)), UnixSeconds(day * DAY));
        }
        known.unwrap().rate
    }
    fn rate(at_least: u64, at_most: Option<u64>) -> MeasuredRate {
        MeasuredRate { at_least, at_most, is_rough: false }
    }

    #[test]
    fn what_a_link_has_carried_once_it_can_carry() {
        assert_eq!(after(&[(80, None), (100, None), (60, None)]), rate(100, None));
    }

    #[test]
    fn limits_are_averaged_until_the_link_is_another() {
        assert_eq!(after(&[(80, Some(80)), (100, Some(100))]), rate(90, Some(90)));
        assert_eq!(after(&[(800, Some(800)), (100, Some(100))]), rate(100, Some(100)));
        assert_eq!(after(&[(100, Some(100)), (60, None)]), rate(100, Some(100)), "a slow sender shows no limit");
        assert_eq!(after(&[(100, Some(100)), (150, None)]), rate(150, None), "it carries more than the limit");
    }

    #[test]
    fn claims_are_bounded() {
        assert_eq!(after(&[(u64::MAX, None)]), rate(MOST, None));
        assert_eq!(after(&[(u64::MAX, Some(5))]), rate(5, Some(5)));
        assert_eq!(after(&[(0, Some(0)), (0, Some(0))]), rate(0, Some(0)));
    }

    #[test]
    fn old_measurements_do_not_count() {
        let known = Some(KnownRate { rate: rate(9, None), measured: UnixSeconds(DAY) });
        assert_eq!(current(known, UnixSeconds(90 * DAY)), Some(rate(9, None)));
        assert_eq!(current(known, UnixSeconds(91 * DAY)), None);
        let mut both = KnownRates { down: known, up: None };
        let measured = LinkRates { down: Some(rate(3, None)), up: None };
        combine(&mut both, &measured, UnixSeconds(91 * DAY));
        assert_eq!(both.down.map(|down| down.rate), Some(rate(3, None)));
    }

    #[test]
    fn a_limit_that_slow_receivers_explain_is_not_the_senders() {
        let up = rate(31, Some(31));
        let (slow, fast) = (Some(rate(24, Some(24))), Some(rate(190, Some(190))));
        let limit = |receivers: &[(Option<MeasuredRate>, f64)]| without_limit_of_receivers(up, receivers).at_most;
        assert_eq!(limit(&[(slow, 0.5), (slow, 0.5)]), None, "each receives half from here");
        assert_eq!(limit(&[(slow, 0.5), (fast, 0.5)]), Some(31), "one could receive more");
        assert_eq!(limit(&[(slow, 0.5), (None, 0.5)]), Some(31));
        assert_eq!(limit(&[]), Some(31));
        assert_eq!(without_limit_of_receivers(up, &[(slow, 1.0)]).at_least, 31);
    }

    #[test]
    fn a_check_counts_until_a_transfer_has_shown_more() {
        let mut known = KnownRates::default();
        let now = UnixSeconds(DAY);
        let rates = |known: KnownRates| (known.down.map(|down| down.rate), known.up.map(|up| up.rate));
        let checked = |at: u64| Some(MeasuredRate { at_least: at, at_most: Some(at), is_rough: true });
        let check = |known: &mut KnownRates, down, up, at| record_check(known, &LinkRates { down, up }, at);
        check(&mut known, checked(50), None, now);
        check(&mut known, checked(40), checked(60), now);
        assert_eq!(rates(known), (checked(40), checked(60)));
        combine(&mut known, &LinkRates { down: Some(rate(30, None)), up: None }, now);
        assert_eq!(known.down.unwrap().rate, MeasuredRate { at_least: 30, at_most: Some(40), is_rough: true });
        combine(&mut known, &LinkRates { down: Some(rate(90, None)), up: None }, now);
        check(&mut known, checked(40), checked(70), now);
        assert_eq!(rates(known), (Some(rate(90, None)), checked(70)), "a transfer shows more than a check");
        check(&mut known, checked(40), None, UnixSeconds(100 * DAY));
        assert_eq!(rates(known), (checked(40), checked(70)), "what a transfer showed is too old");
    }
}

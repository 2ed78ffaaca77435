//! What the planner believes about the rates of machines and sites.

use super::{Candidate, arrange::Member};
use crate::known_rates::may_be_equal;
use banyan_proto::{MeasuredRate, Reach};

/// What every machine counts as when no machine was measured, in bytes a second. Only equality matters.
const NOMINAL: u64 = 1 << 20;
/// The most that a machine's measurement counts for, in medians of all machines. Measurements are the machines' own
/// claims.
const MOST: u64 = 16;
/// A machine that can send less than this part of the median does not forward.
const LEAST: u64 = 32;

/// Returns the median; `None` if there is no value.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

/// Returns the best estimate of a rate.
fn estimate(rate: MeasuredRate) -> u64 {
    rate.at_most.unwrap_or(rate.at_least)
}

/// What links usually carry in one direction: the median of all candidates, in bytes a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual(u64);

impl Usual {
    /// Returns what is usual for receiving, and for sending.
    pub(crate) fn of(candidates: &[Candidate]) -> (Self, Self) {
        let senders = candidates.iter().filter(|candidate| candidate.forwards);
        let down = median(candidates.iter().filter_map(|candidate| candidate.down.map(estimate)));
        let up = median(senders.filter_map(|candidate| candidate.up.map(estimate)));
        let usual = |rate: Option<u64>| Self(rate.unwrap_or(NOMINAL).max(1));
        (usual(down.or(up)), usual(up.or(down)))
    }
    /// Returns what counts of a measurement. A check shows nothing of a link that carries about as much as usual.
    pub(crate) fn believed(self, measured: MeasuredRate) -> MeasuredRate {
        let shows_nothing = measured.is_rough && may_be_equal(estimate(measured), self.0);
        if shows_nothing { MeasuredRate::default() } else { measured }
    }
    /// Returns the rate that a link counts for. The median counts as far as no measurement contradicts it.
    fn counted(self, measured: Option<MeasuredRate>) -> u64 {
        let MeasuredRate { at_least, at_most, .. } = measured.map(|rate| self.believed(rate)).unwrap_or_default();
        self.0.max(at_least).min(at_most.unwrap_or(u64::MAX)).min(self.0.saturating_mul(MOST))
    }
}

/// Returns the candidates as members. A machine that was not measured counts as the median.
pub(super) fn members(candidates: &[Candidate]) -> Vec<Member> {
    let (usual_down, usual_up) = Usual::of(candidates);
    let member = |candidate: &Candidate| {
        let up = usual_up.counted(candidate.up);
        Member {
            down: usual_down.counted(candidate.down).max(2),
            up: up.max(2),
            known: candidate.down.is_some() && candidate.up.is_some(),
            is_at_limit: candidate.down.is_some_and(|down| down.at_most.is_some() && !down.is_rough),
            online: candidate.online,
            forwards: candidate.forwards && up >= usual_up.0 / LEAST,
            is_dialable: candidate.reach != Reach::Nobody,
            is_dialable_outside: candidate.reach == Reach::Everyone,
            size: usize::from(candidate.online),
        }
    };
    candidates.iter().map(member).collect()
}

/// Returns a site as a member: it receives as its fastest machine does. It sends as its second fastest, because the
/// fastest one feeds the site.
pub(super) fn site(machines: &[Member]) -> Member {
    let pace = |member: &&Member| member.down.min(member.up);
    let mut forwarders: Vec<&Member> = machines.iter().filter(|member| member.online && member.forwards).collect();
    forwarders.sort_by_key(|member| std::cmp::Reverse(pace(member)));
    let entrance = forwarders.first().copied().or(machines.iter().max_by_key(|member| (member.online, member.down)));
    let up = match (machines, &forwarders[..]) {
        ([only], _) => only.up,
        (_, [first]) => pace(first),
        (_, [_, second, ..]) => pace(second),
        (_, []) => 2,
    };
    // Everyone else is behind the machine that feeds the site.
    let is_dialable = match &forwarders[..] {
        [] => machines.iter().any(|member| member.is_dialable_outside),
        forwarders => forwarders.iter().any(|member| member.is_dialable_outside),
    };
    Member {
        down: match &forwarders[..] {
            [first, _, ..] => pace(first),
            _ => entrance.map_or(2, |member| member.down),
        },
        up,
        known: machines.iter().any(|member| member.known),
        is_at_limit: false,
        online: machines.iter().any(|member| member.online),
        forwards: !forwarders.is_empty(),
        is_dialable,
        is_dialable_outside: is_dialable,
        size: machines.iter().map(|member| member.size).sum(),
    }
}

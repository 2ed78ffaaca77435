//! The server's side: divides one direction of a site's budget among the machines that use the uplink.
//!
//! What was granted and has not ended never exceeds the budget. A machine that comes new gets what is free, and its full
//! part when the others have renewed. Nobody has to be told that a machine has died: its share ends.

use super::{RENEWAL_INTERVAL, SHARE_LIFETIME, SOON};
use banyan_proto::{MachineId, site_budget::ShareUse};
use std::{collections::BTreeMap, time::Duration};

/// A machine that is not held back by its share is left this much more than it uses.
const HEADROOM_PERCENT: u64 = 50;

/// What was granted to one machine.
#[derive(Debug, Default)]
struct Share {
    /// The rates that the machine may be going by, the newest last. An answer can be lost, so an earlier rate counts until
    /// it ends, or until the machine asks again and says that it has a lower one.
    grants: Vec<Grant>,
    /// What the machine could use.
    wanted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Grant {
    rate: u64,
    until: Duration,
}

impl Share {
    /// Returns what the machine may be using.
    fn reserved(&self) -> u64 {
        self.grants.iter().map(|grant| grant.rate).max().unwrap_or(0)
    }
    /// Adds a grant. Earlier ones that it covers no longer matter, so the list stays short.
    fn add(&mut self, new: Grant) {
        self.grants.retain(|grant| grant.rate > new.rate || grant.until > new.until);
        self.grants.push(new);
    }
}

/// What a ledger divides now.
#[derive(Debug, Clone, Copy)]
pub struct Divisible {
    /// The budget (bytes a second).
    pub budget: u64,
    /// How long a share of it is valid: until the budget's hours end at the latest.
    pub lifetime: Duration,
}

/// A machine's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedShare {
    /// The rate (bytes a second).
    pub rate: u64,
    /// Whether this is the machine's whole part. Otherwise others have not given up yet what they had.
    pub is_full: bool,
}

impl GrantedShare {
    /// Returns when the machine should ask again.
    #[must_use]
    pub fn renewal(self) -> Duration {
        if self.is_full { RENEWAL_INTERVAL } else { SOON }
    }
}

/// The shares of one direction of a site's budget.
#[derive(Debug)]
pub struct ShareLedger {
    shares: BTreeMap<MachineId, Share>,
    /// Until then, machines can have shares that an earlier run of the server granted.
    inherits_until: Duration,
}

impl ShareLedger {
    /// Creates a ledger without shares at the server's start (monotonic time).
    #[must_use]
    pub fn new(started: Duration) -> Self {
        Self { shares: BTreeMap::new(), inherits_until: started + SHARE_LIFETIME }
    }
    /// Grants or renews a machine's share of the budget. A machine that does not use the uplink gives its share back.
    pub fn grant(&mut self, now: Duration, machine: MachineId, usage: ShareUse, current: Divisible) -> GrantedShare {
        let Divisible { budget, lifetime } = current;
        self.shares.values_mut().for_each(|share| share.grants.retain(|grant| grant.until > now));
        self.shares.retain(|_, share| !share.grants.is_empty());
        let mut share = self.shares.remove(&machine).unwrap_or_default();
        if !usage.is_used {
            return GrantedShare { rate: 0, is_full: true };
        }
        let others: u64 = self.shares.values().map(Share::reserved).sum();
        let free = budget.saturating_sub(others);
        let wanted = match usage.share {
            Some(_) if !usage.is_limited => usage.bytes_per_second.saturating_mul(100 + HEADROOM_PERCENT) / 100,
            _ => u64::MAX,
        };
        let fair = self.fair_part(wanted, budget);
        let claimed = usage.share.unwrap_or(0);
        share.grants.retain(|grant| grant.rate <= claimed);
        // Shares from before the server's restart are not known, but whoever has one comes with it.
        let inherits = now < self.inherits_until;
        if inherits {
            share.add(Grant { rate: claimed.min(free), until: self.inherits_until });
        }
        let rate = fair.min(free).min(if inherits { claimed } else { u64::MAX });
        share.add(Grant { rate, until: now + lifetime });
        share.wanted = wanted;
        self.shares.insert(machine, share);
        GrantedShare { rate, is_full: rate == fair }
    }
    /// Returns the shares that are valid now (bytes a second).
    pub fn shares(&self, now: Duration) -> impl Iterator<Item = (MachineId, u64)> + '_ {
        let newest = move |share: &Share| share.grants.last().filter(|grant| grant.until > now).map(|grant| grant.rate);
        self.shares.iter().filter_map(move |(&machine, share)| Some((machine, newest(share)?)))
    }
    /// Returns the part of a machine that could use `wanted`: all get the same, unless they want less. What nobody wants is
    /// divided, too, so that everyone can speed up at once.
    fn fair_part(&self, wanted: u64, budget: u64) -> u64 {
        let mut all: Vec<u64> = self.shares.values().map(|share| share.wanted).chain([wanted]).collect();
        all.sort_unstable();
        let mut left = budget;
        let mut level = 0;
        for (at, &want) in all.iter().enumerate() {
            let equal = left / (all.len() - at) as u64;
            level = want.min(equal);
            left -= level;
        }
        // `level` is now the largest part of all.
        wanted.min(level) + left / all.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 900_000;
    const ALL: Divisible = of(BUDGET);
    const NOW: Duration = Duration::from_secs(100);

    const fn of(budget: u64) -> Divisible {
        Divisible { budget, lifetime: SHARE_LIFETIME }
    }
    fn id(number: u8) -> MachineId {
        MachineId([number; 16])
    }
    fn limited(share: u64) -> ShareUse {
        ShareUse { is_used: true, is_limited: true, bytes_per_second: share, share: Some(share) }
    }
    fn new() -> ShareUse {
        ShareUse { is_used: true, ..ShareUse::default() }
    }
    fn seconds(seconds: u64) -> Duration {
        NOW + Duration::from_secs(seconds)
    }

    /// Grants to a machine in the given second.
    fn grant(ledger: &mut ShareLedger, second: u64, number: u8, usage: ShareUse) -> u64 {
        ledger.grant(seconds(second), id(number), usage, ALL).rate
    }

    #[test]
    fn a_second_machine_gets_half_when_the_first_has_confirmed_that_it_gave_it_up() {
        let mut ledger = ShareLedger::new(Duration::ZERO);
        assert_eq!(grant(&mut ledger, 0, 1, new()), BUDGET);
        assert_eq!(grant(&mut ledger, 0, 2, new()), 0);
        assert_eq!(grant(&mut ledger, 2, 1, limited(BUDGET)), BUDGET / 2);
        let none = ledger.grant(seconds(2), id(2), new(), ALL);
        assert_eq!(none, GrantedShare { rate: 0, is_full: false }, "the answer to the first may be lost");
        assert_eq!(grant(&mut ledger, 3, 1, limited(BUDGET / 2)), BUDGET / 2);
        let half = ledger.grant(seconds(3), id(2), new(), ALL);
        assert_eq!(half, GrantedShare { rate: BUDGET / 2, is_full: true });
        // It is done, and the other one gets the rest.
        assert_eq!(grant(&mut ledger, 4, 1, ShareUse::default()), 0);
        assert_eq!(grant(&mut ledger, 4, 2, limited(BUDGET / 2)), BUDGET);
    }

    #[test]
    fn what_a_slow_machine_does_not_need_goes_to_the_others() {
        let mut ledger = ShareLedger::new(Duration::ZERO);
        grant(&mut ledger, 0, 1, new());
        let slow = |share| ShareUse { is_limited: false, bytes_per_second: 100_000, ..limited(share) };
        assert_eq!(grant(&mut ledger, 2, 1, slow(BUDGET)), BUDGET, "it is alone and can speed up at once");
        grant(&mut ledger, 3, 2, new());
        assert_eq!(grant(&mut ledger, 4, 1, slow(BUDGET)), 150_000);
        assert_eq!(grant(&mut ledger, 5, 1, slow(150_000)), 150_000);
        assert_eq!(grant(&mut ledger, 5, 2, new()), BUDGET - 150_000);
    }

    #[test]
    fn a_dead_machines_share_ends_and_a_smaller_budget_applies_to_all() {
        let mut ledger = ShareLedger::new(Duration::ZERO);
        assert_eq!(grant(&mut ledger, 0, 1, new()), BUDGET);
        assert_eq!(grant(&mut ledger, 5, 2, new()), 0);
        assert_eq!(grant(&mut ledger, 6, 2, new()), BUDGET);
        assert_eq!(ledger.grant(seconds(7), id(2), limited(BUDGET), of(BUDGET / 3)).rate, BUDGET / 3);
        assert_eq!(ledger.shares(seconds(7)).collect::<Vec<_>>(), [(id(2), BUDGET / 3)]);
        assert_eq!(ledger.shares(seconds(13)).count(), 0);
    }

    #[test]
    fn after_a_restart_of_the_server_machines_keep_what_they_have_and_nobody_gets_more() {
        let mut ledger = ShareLedger::new(NOW);
        assert_eq!(grant(&mut ledger, 0, 3, new()), 0);
        assert_eq!(grant(&mut ledger, 1, 1, limited(300_000)), 300_000);
        assert_eq!(grant(&mut ledger, 6, 3, new()), BUDGET / 2);
    }

    /// Whatever one machine claims, the others keep their equal parts, and the sum stays within the budget.
    #[test]
    fn a_machine_that_lies_gets_one_part() {
        let mut ledger = ShareLedger::new(Duration::ZERO);
        let lie = ShareUse { bytes_per_second: u64::MAX, ..limited(u64::MAX) };
        let mut shares = [None; 3];
        for second in 0..20 {
            for number in 1..=3 {
                let usage = ShareUse { share: shares[usize::from(number) - 1], ..limited(1) };
                let granted = grant(&mut ledger, second, number, if number == 1 { lie } else { usage });
                shares[usize::from(number) - 1] = Some(granted);
                let sum: u64 = ledger.shares(seconds(second)).map(|(_, rate)| rate).sum();
                assert!(sum <= BUDGET, "{sum}");
            }
        }
        assert!(ledger.shares(seconds(19)).all(|(_, rate)| rate == BUDGET / 3), "{ledger:?}");
    }
}

//! Exponential backoff with jitter.

use std::time::Duration;

/// A small deterministic generator (splitmix64). It only spreads retries; no secret depends on it.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    /// Returns a random duration between zero and `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }
}

/// A retry delay that doubles each time, up to a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetryDelay {
    retries: u32,
}

impl RetryDelay {
    /// Returns the next delay: a random time between half and all of `first · 2^retries`, capped at `most`.
    pub(crate) fn next(&mut self, first: Duration, most: Duration, jitter: &mut Jitter) -> Duration {
        let whole = first.saturating_mul(1 << self.retries.min(20)).min(most);
        self.retries = self.retries.saturating_add(1);
        whole / 2 + jitter.up_to(whole / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound_and_differ() {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(15));
        let (mut delay, mut jitter) = (RetryDelay::default(), Jitter::new(7));
        let all: Vec<_> = (0..8).map(|_| delay.next(first, most, &mut jitter)).collect();
        for (n, got) in all.iter().enumerate() {
            let whole = Duration::from_secs(1 << n).min(most);
            assert!((whole / 2..=whole).contains(got), "delay {n} was {got:?}");
        }
        assert_ne!(all[6], all[7]);
        for _ in 0..100 {
            delay.next(first, most, &mut jitter);
        }
    }
}

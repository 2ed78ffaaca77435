//! A small generator of random numbers (splitmix64).

/// The generator's state, at first its seed.
pub(super) struct Random(pub(super) u64);
impl Random {
    /// Returns a number from 0 to 1.
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
    /// Returns a rate around 20, log-normal: two decades are four standard deviations.
    pub(super) fn rate(&mut self) -> f64 {
        let normal = (-2.0 * self.next().max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos();
        20.0 * (normal * std::f64::consts::LN_10 / 2.0).exp()
    }
}

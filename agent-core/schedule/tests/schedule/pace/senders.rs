//! Simulated senders: CUBIC (RFC 9438, with the delay part of HyStart) and BBR version 1, reduced to how they fill a
//! queue. Unlike the kernel's code they have only window and pacing rules, and detect losses one by one.

use super::link::{MS, Ns, PACKET, SECOND};
use std::collections::VecDeque;

/// A congestion control.
pub(super) trait Sender {
    /// Returns the maximum number of bytes in flight.
    fn window(&self) -> u64;
    /// Returns the pacing rate (bytes a second), if it paces packets.
    fn pacing(&self) -> Option<u64>;
    /// Handles the acknowledgement of a packet sent at `sent`. Bytes have arrived at `rate` since then. `delivered`
    /// bytes have arrived by now, and `then` when it was sent.
    #[expect(clippy::too_many_arguments, reason = "one call with everything that either control needs")]
    fn acked(&mut self, now: Ns, sent: Ns, rate: u64, in_flight: u64, delivered: u64, then: u64, limited: bool);
    /// Handles the loss of a packet.
    fn lost(&mut self, now: Ns, sent: Ns);
}

/// CUBIC.
pub(super) struct Cubic {
    /// In packets.
    window: f64,
    slow_start_until: f64,
    most: f64,
    epoch: Option<Ns>,
    reno: f64,
    reduced: Ns,
    base: Ns,
    round_ends: u64,
    round_least: Ns,
    round_samples: u32,
}

impl Cubic {
    pub(super) fn new(rtt: Ns) -> Self {
        Self {
            window: 10.0,
            slow_start_until: f64::MAX,
            most: 0.0,
            epoch: None,
            reno: 0.0,
            reduced: 0,
            base: rtt,
            round_ends: 0,
            round_least: Ns::MAX,
            round_samples: 0,
        }
    }
}

impl Sender for Cubic {
    fn window(&self) -> u64 {
        (self.window.max(2.0) as u64) * PACKET
    }
    fn pacing(&self) -> Option<u64> {
        None
    }
    fn acked(&mut self, now: Ns, sent: Ns, _rate: u64, in_flight: u64, delivered: u64, then: u64, _limited: bool) {
        const C: f64 = 0.4;
        const BETA: f64 = 0.7;
        let rtt = now - sent;
        self.base = self.base.min(rtt);
        // An unused window does not grow (RFC 7661).
        if in_flight + 2 * PACKET < self.window() {
            return;
        }
        if self.window < self.slow_start_until {
            self.window += 1.0;
            // HyStart: the minimum of at least eight round trips in a round.
            if then >= self.round_ends {
                (self.round_ends, self.round_least, self.round_samples) = (delivered + in_flight, Ns::MAX, 0);
            }
            self.round_least = self.round_least.min(rtt);
            self.round_samples += 1;
            let queue = self.round_least > self.base + (self.base / 8).clamp(4 * MS, 16 * MS);
            if queue && self.round_samples >= 8 && self.window > 16.0 {
                self.slow_start_until = self.window;
            }
            return;
        }
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.reno = self.window;
            self.most = self.most.max(self.window);
            now
        });
        let k = (self.most * (1.0 - BETA) / C).cbrt();
        let t = (now - epoch + rtt) as f64 / SECOND as f64;
        let target = (C * (t - k).powi(3) + self.most).min(1.5 * self.window);
        self.reno += 3.0 * (1.0 - BETA) / (1.0 + BETA) / self.window;
        let grown = if target > self.window { (target - self.window) / self.window } else { 0.01 / self.window };
        self.window = (self.window + grown).max(self.reno);
    }
    fn lost(&mut self, now: Ns, sent: Ns) {
        if sent < self.reduced {
            return;
        }
        self.reduced = now;
        self.most = if self.window < self.most { self.window * 0.85 } else { self.window };
        self.window = (self.window * 0.7).max(2.0);
        self.slow_start_until = self.window;
        self.epoch = None;
    }
}

/// BBR version 1.
pub(super) struct Bbr {
    mode: Mode,
    /// (round, bytes a second); the maximum over ten rounds is the bandwidth.
    rates: VecDeque<(u64, u64)>,
    round: u64,
    round_ends: u64,
    full: (u64, u32),
    rtt: Ns,
    rtt_at: Ns,
    phase: usize,
    phase_began: Ns,
    in_flight: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Startup,
    Drain,
    ProbeBandwidth,
    ProbeRtt { until: Ns },
}

const GAINS: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

impl Bbr {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Startup,
            rates: VecDeque::new(),
            round: 0,
            round_ends: 0,
            full: (0, 0),
            rtt: Ns::MAX,
            rtt_at: 0,
            phase: 2,
            phase_began: 0,
            in_flight: 0,
        }
    }
    fn bandwidth(&self) -> u64 {
        self.rates.iter().map(|(_, rate)| *rate).max().unwrap_or(0)
    }
    fn bdp(&self) -> u64 {
        if self.rtt == Ns::MAX {
            10 * PACKET
        } else {
            (self.bandwidth() as u128 * u128::from(self.rtt) / 1_000_000_000) as u64
        }
    }
}

impl Sender for Bbr {
    fn window(&self) -> u64 {
        match self.mode {
            Mode::Startup | Mode::Drain => (self.bdp() * 289 / 100).max(10 * PACKET),
            Mode::ProbeBandwidth => (self.bdp() * 2).max(4 * PACKET),
            Mode::ProbeRtt { .. } => 4 * PACKET,
        }
    }
    fn pacing(&self) -> Option<u64> {
        let gain = match self.mode {
            Mode::Startup => 2.89,
            Mode::Drain => 1.0 / 2.89,
            Mode::ProbeBandwidth => GAINS[self.phase],
            Mode::ProbeRtt { .. } => 1.0,
        };
        (self.bandwidth() > 0).then(|| (self.bandwidth() as f64 * gain) as u64)
    }
    fn acked(&mut self, now: Ns, sent: Ns, rate: u64, in_flight: u64, delivered: u64, then: u64, limited: bool) {
        self.in_flight = in_flight;
        let rtt = now - sent;
        let stale = now - self.rtt_at > 10 * SECOND;
        if rtt <= self.rtt || stale {
            (self.rtt, self.rtt_at) = (rtt, now);
        }
        let new_round = then >= self.round_ends;
        if new_round {
            self.round += 1;
            self.round_ends = delivered;
        }
        if !limited || rate > self.bandwidth() {
            self.rates.push_back((self.round, rate));
        }
        while self.rates.front().is_some_and(|(round, _)| round + 10 < self.round) && self.rates.len() > 1 {
            self.rates.pop_front();
        }
        if self.mode == Mode::Startup && new_round && !limited {
            let bandwidth = self.bandwidth();
            self.full = if bandwidth > self.full.0 * 5 / 4 { (bandwidth, 0) } else { (self.full.0, self.full.1 + 1) };
            if self.full.1 >= 3 {
                self.mode = Mode::Drain;
            }
        }
        match self.mode {
            Mode::Drain if in_flight <= self.bdp() => {
                (self.mode, self.phase, self.phase_began) = (Mode::ProbeBandwidth, 2, now);
            }
            Mode::ProbeBandwidth => {
                let long = now - self.phase_began > self.rtt;
                let over = match self.phase {
                    0 => long && in_flight >= self.bdp() * 5 / 4 || now - self.phase_began > 2 * self.rtt,
                    1 => long || in_flight <= self.bdp(),
                    _ => long,
                };
                if over {
                    (self.phase, self.phase_began) = ((self.phase + 1) % 8, now);
                }
            }
            _ => {}
        }
        match self.mode {
            Mode::ProbeRtt { until } if now >= until => {
                (self.mode, self.phase, self.phase_began, self.rtt_at) = (Mode::ProbeBandwidth, 2, now, now);
            }
            Mode::ProbeBandwidth if stale => self.mode = Mode::ProbeRtt { until: now + 200 * MS + self.rtt },
            _ => {}
        }
    }
    fn lost(&mut self, _now: Ns, _sent: Ns) {}
}
